"""
Group commit: one sync of a file serves every thread that had written before it began.

A sync takes as long for one record as for hundreds. So the first thread that needs one leads: it syncs for all that is
written by then, and whoever comes meanwhile waits for the next one. Eight threads wait for about two syncs, not eight.

A sync that failed is not tried again for the same bytes: Linux reports a lost page once, and then calls it clean.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

Mark: TypeAlias = "tuple[int, int]"
"""How far a series is written: number of the segment, size of it."""

_NOWHERE: Final = (0, 0)


class GroupCommit:
    """For one series of segments. A finalizer or signal handler may call `reach` in the middle of `reach`."""

    def __init__(self, begin: Callable[[], tuple[Mark, int]]) -> None:
        """`begin` says how far all threads have written, with a descriptor of that file for us alone; -1 if none."""
        self._begin = begin
        self._turn = threading.Condition()
        self._leader: int | None = None
        self._synced: Mark = _NOWHERE
        self._failed: Mark = _NOWHERE
        self._failure = OSError()

    def reach(self, mark: Mark) -> None:
        """Return once everything up to `mark` is on the disk; raise OSError if the disk failed."""
        me = threading.get_ident()
        former: int | None = me
        # Wherever an interrupt strikes, nobody is left to wait for a leader that has gone.
        try:
            with self._turn:
                # The leader itself comes here from a signal handler: nobody else can lead it out.
                self._turn.wait_for(lambda: self._is_settled(mark) or self._leader in {None, me})
                if self._is_settled(mark):
                    return self._tell(mark)
                former, self._leader = self._leader, me
            self._sync()
        finally:
            with self._turn:
                if self._leader == me:
                    self._leader = former
                    self._turn.notify_all()
        return self._tell(mark)

    def sync_now(self, mark: Mark, descriptor: int) -> None:
        """Bring this much to the disk without waiting for anybody: before its file is closed."""
        if self._synced < mark:
            try:
                os.fdatasync(descriptor)
            except OSError as error:
                self._failed, self._failure = max(self._failed, mark), error
            else:
                self._synced = max(self._synced, mark)

    def _sync(self) -> None:
        mark, descriptor = self._begin()
        # Nothing open: the file was synced when it was closed.
        if descriptor >= 0:
            try:
                self.sync_now(mark, descriptor)
            finally:
                os.close(descriptor)

    def _is_settled(self, mark: Mark) -> bool:
        return self._synced >= mark or self._failed >= mark

    def _tell(self, mark: Mark) -> None:
        if self._failed >= mark:
            raise self._failure
