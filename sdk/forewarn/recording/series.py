"""
A series: one sender's segments of one kind, written one after another, of which at most one is open.

A sender has two: records of `read` calls, and all others. So the records that may go first when there is no room stand
in files of their own, and losing the oldest of them is removing a file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from forewarn.conventions import LossReason
from forewarn.recording.commits import GroupCommit, Mark
from forewarn.recording.interface import SpoolUnavailable

_RETRY_AFTER_S: Final = 1.0
"""How long trouble with the folder is taken for granted before it is tried again."""


class Written(NamedTuple):
    """A segment of this process, and up to where it holds whole frames."""

    path: Path
    size: int
    is_current: bool


class Series:
    """Its open segment, and what is in the way of the next one. Guarded by the spool's lock."""

    __slots__ = (
        "_number",
        "_trouble",
        "_try_again_at",
        "commit",
        "descriptor",
        "is_spent",
        "path",
        "room",
        "size",
        "suffix",
    )

    def __init__(self, suffix: str, commit: GroupCommit | None) -> None:
        """`commit`: how its records reach the disk before they are reported written; None if they need not."""
        self.suffix = suffix
        self.commit = commit
        self.path = Path()
        self.descriptor = -1
        self.size = 0
        self.is_spent = False
        self.room = -1
        """Up to which size it may grow before somebody has to look whether there is room."""
        self._number = 0
        self._trouble: SpoolUnavailable | None = None
        self._try_again_at = 0.0

    @property
    def mark(self) -> Mark:
        return self._number, self.size

    def begin(self, path: Path, number: int, header: bytes) -> None:
        """Open the next segment; raises OSError, or SpoolUnavailable if not even its header fits on the disk."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        is_begun = False
        try:
            is_begun = os.write(descriptor, header) == len(header)
        finally:
            if not is_begun:
                os.close(descriptor)
                path.unlink(missing_ok=True)
        if not is_begun:
            raise SpoolUnavailable(f"cannot write to {path.parent}: the disk is full")
        # Not before the header is there: a signal handler may append from here on.
        self.path, self._number, self.size, self.is_spent = path, number, len(header), False
        self.descriptor = descriptor

    def write(self, frame: bytes) -> None:
        try:
            written = os.write(self.descriptor, frame)
        except OSError as error:
            self._spend()
            raise SpoolUnavailable(f"cannot write to {self.path}: {error.strerror}") from error
        if written < len(frame):
            os.ftruncate(self.descriptor, os.fstat(self.descriptor).st_size - written)
            self._spend()
            raise SpoolUnavailable(f"cannot write to {self.path}: the disk is full")
        self.size += written

    def sync(self, mark: Mark) -> None:
        """Return once everything up to `mark` is on the disk."""
        assert self.commit is not None
        try:
            self.commit.reach(mark)
        except OSError as error:
            raise SpoolUnavailable(f"cannot sync {self.path} to the disk: {error.strerror}") from error

    def current(self) -> list[Written]:
        return [Written(self.path, os.fstat(self.descriptor).st_size, True)] if self.descriptor >= 0 else []

    def seal(self) -> list[Written]:
        """Append to the open segment no more; it, or nothing if none is open."""
        if self.descriptor < 0:
            return []
        # A finalizer may append from inside of this, and must not find a closed descriptor.
        mark, descriptor, self.descriptor = self.mark, self.descriptor, -1
        self.size, self.room = 0, -1
        sealed = Written(self.path, os.fstat(descriptor).st_size, is_current=False)
        if self.commit is not None:
            self.commit.sync_now(mark, descriptor)
        os.close(descriptor)
        return [sealed]

    def _spend(self) -> None:
        """Have the next record begin a segment: this one may never take another."""
        self.is_spent = True
        self.room = -1

    def let_go(self) -> None:
        """Close the descriptor and forget it, whatever is in the file."""
        descriptor, self.descriptor = self.descriptor, -1
        self.size, self.room = 0, -1
        if descriptor >= 0:
            os.close(descriptor)

    def remember(self, trouble: SpoolUnavailable) -> None:
        self._trouble = trouble
        self._try_again_at = time.monotonic() + _RETRY_AFTER_S

    def raise_if_troubled(self) -> None:
        """What was in the way a moment ago still is."""
        if self._trouble is not None:
            if time.monotonic() < self._try_again_at:
                raise SpoolUnavailable(str(self._trouble), self._trouble.reason)
            self._trouble = None


def full(folder: Path, limit: int, left: int) -> SpoolUnavailable:
    """The bound is in the way."""
    return SpoolUnavailable(
        f"{folder} holds {limit - left} bytes that are not delivered; the bound is {limit}",
        LossReason.SPOOL_FULL,
    )
