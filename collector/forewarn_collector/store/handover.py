"""
Hands bytes to the engine as a file that is never on a disk: `INSERT ... FROM INFILE` of a memory file.

chDB's streaming insert (`send_insert`) would need no file, but it reports only what goes wrong while reading: when a
view or a table behind it fails (a full disk, too many partitions), it returns as if all were stored. An ordinary
query raises.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def as_file(pieces: Iterable[bytes]) -> Iterator[str]:
    """The path under which this process, and only it, can read the bytes until the block ends."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile(prefix="forewarn-insert-") as named:
            named.writelines(pieces)
            named.flush()
            yield named.name
        return
    with open(os.memfd_create("forewarn-insert", os.MFD_CLOEXEC), "wb", buffering=0) as memory:  # noqa: PTH123 - a descriptor, no path
        for piece in pieces:
            _write_all(memory.fileno(), piece)
        yield f"/proc/self/fd/{memory.fileno()}"


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
