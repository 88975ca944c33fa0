"""
The disk as agents meet it: real files in memory, and the system calls that change them as seams.

A killed process loses its descriptors and thereby its locks, as the kernel does it; what it wrote stays. A write can be
cut short by a full disk, or by the death of the writer.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.simulation.fate import Fate, Process

_REAL: Final = {name: getattr(os, name) for name in ("open", "write", "pwrite", "ftruncate", "link", "unlink", "close")}
close_for_good = _REAL["close"]


class Disk:
    """Put in place once a process; `fate` is that of the history that runs."""

    fate: Fate | None = None
    last_write: tuple[str, int] = ("", 0)
    """Where the last frame ended: path and offset."""
    _paths: dict[int, str] = {}  # noqa: RUF012  one disk a process

    @classmethod
    def install(cls) -> None:
        os.open, os.write, os.close = cls._open, cls._write, cls._close  # type: ignore[assignment]
        for name in ("pwrite", "ftruncate", "link", "unlink"):
            setattr(os, name, cls._between(name))

    @classmethod
    def empty(cls, folder: Path) -> None:
        cls.fate = None
        if folder.exists():
            shutil.rmtree(folder)

    @classmethod
    def _acting(cls) -> tuple[Fate, Process] | None:
        fate = cls.fate
        if fate is None or fate.process is None or fate.process.kind != "agent":
            return None
        return fate, fate.process

    @classmethod
    def _open(cls, path: Any, flags: int, mode: int = 0o777, **where: Any) -> int:
        if (acting := cls._acting()) is None:
            return int(_REAL["open"](path, flags, mode, **where))
        fate, process = acting
        fate.point("opening a file")
        if flags & os.O_CREAT and fate.strikes("disk is full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        descriptor = int(_REAL["open"](path, flags, mode, **where))
        process.descriptors.add(descriptor)
        cls._paths[descriptor] = str(path)
        fate.point("having opened a file")
        return descriptor

    @classmethod
    def _write(cls, descriptor: int, data: bytes) -> int:
        if (acting := cls._acting()) is None:
            return int(_REAL["write"](descriptor, data))
        fate, _ = acting
        cut = fate.random.randrange(len(data) + 1)
        fate.point("in a write", lambda: _REAL["write"](descriptor, data[:cut]))
        if fate.strikes("disk is full"):
            if cut in {0, len(data)}:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(_REAL["write"](descriptor, data[:cut]))
        if fate.strikes("disk fails"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        written = int(_REAL["write"](descriptor, data))
        cls.last_write = cls._paths.get(descriptor, ""), os.lseek(descriptor, 0, os.SEEK_CUR)
        fate.point("behind a write")
        return written

    @classmethod
    def _close(cls, descriptor: int) -> None:
        if (acting := cls._acting()) is not None:
            acting[0].point("closing a file")
            acting[1].descriptors.discard(descriptor)
        _REAL["close"](descriptor)

    @classmethod
    def _between(cls, name: str) -> Callable[..., Any]:
        real = _REAL[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            if (acting := cls._acting()) is None:
                return real(*args, **kwargs)
            fate, _ = acting
            fate.point(f"before {name}")
            if name == "pwrite" and fate.strikes("disk fails"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done = real(*args, **kwargs)
            fate.point(f"behind {name}")
            return done

        return call


def bury(process: Process) -> None:
    """What the kernel does for the dead."""
    for descriptor in process.descriptors:
        close_for_good(descriptor)
    process.descriptors.clear()
