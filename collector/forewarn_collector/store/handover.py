"""
Hands bytes to the engine as a file that is never on a disk: `INSERT ... FROM INFILE` of a memory file.

chDB's streaming insert (`send_insert`) would need no file, but it reports only what goes wrong while reading: when a
view or a table behind it fails (a full disk, too many partitions), it returns as if all were stored. An ordinary
query raises. Each thread writes over its last file: new pages would cost more than the bytes in them.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

_KEPT_BYTES: Final = 16 << 20
"""How much of its file a thread keeps between two inserts: half of the sink's largest batch."""


@contextmanager
def as_file(pieces: Iterable[bytes]) -> Iterator[str]:
    """The path under which this process, and only it, can read the bytes until the block ends."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile(prefix="forewarn-insert-") as named:
            named.writelines(pieces)
            named.flush()
            yield named.name
        return
    # Not there for whoever comes in between on this thread, nor again after a failure: the engine may not be done.
    memory = _thread.__dict__.pop("memory", None) or _Memory()
    memory.write(pieces)
    yield memory.path
    memory.keep(_KEPT_BYTES)
    _thread.memory = memory


class _Memory:
    """A memory file that is closed with its last reference: when its thread ends, or an insert has failed."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("forewarn-insert", os.MFD_CLOEXEC)
        self._size = 0

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def write(self, pieces: Iterable[bytes]) -> None:
        """The pieces, and nothing of what was in it before."""
        size = 0
        for piece in pieces:
            left = memoryview(piece)
            while left:
                written = os.pwrite(self._descriptor, left, size)
                left, size = left[written:], size + written
        os.ftruncate(self._descriptor, size)
        self._size = size

    def keep(self, size: int) -> None:
        if self._size > size:
            os.ftruncate(self._descriptor, size)

    def __del__(self) -> None:
        os.close(self._descriptor)


_thread = threading.local()
