"""
Claims: which process owns which segments, told by a file lock that the kernel drops with its owner.

Every sender's segments are named after it and stand beside `<sender>.lock`, which it holds exclusively (`flock`) while
it lives. A lock that can be taken has a dead owner, and whoever takes it owns the segments. A forked child shares all
of its parent's locks without wanting to, and would keep them when the parent dies; so it closes its copies first thing.

`flock` is not to be trusted on network file systems; the spool belongs on a local disk (see `filesystems`).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

LOCK_SUFFIX: Final = ".lock"
SEGMENT_SUFFIX: Final = ".segment"
READS_SUFFIX: Final = ".reads.segment"
"""Of segments with nothing but records of `read` calls."""

_opening = threading.RLock()
"""Held while a lock file is opened and entered in `_descriptors`, and over a fork: no child inherits one unknown."""
_descriptors: set[int] = set()


class Claim:
    """A sender's name in a folder, held by this process."""

    def __init__(self, lock: Path, descriptor: int) -> None:
        self.folder = lock.parent
        self.sender = lock.name.removesuffix(LOCK_SUFFIX)
        self._lock = lock
        self._descriptor = descriptor

    @classmethod
    def make(cls, folder: Path, sender: str) -> Claim:
        """A new name, `sender` or one that begins with it; held before anybody else can see it."""
        draft = folder / f".{sender}.{secrets.token_hex(4)}"
        descriptor = _open(draft, os.O_EXCL)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in itertools.chain([sender], (f"{sender}.{number}" for number in itertools.count(2))):
                with suppress(FileExistsError):
                    lock = folder / f"{name}{LOCK_SUFFIX}"
                    os.link(draft, lock)
                    return cls(lock, descriptor)
        except OSError:
            _close(descriptor)
            raise
        finally:
            draft.unlink(missing_ok=True)
        raise AssertionError("unreachable: numbers do not end")

    @classmethod
    def take(cls, folder: Path, sender: str) -> Claim | None:
        """The name of a dead sender; None if a living one holds it, or another user owns it."""
        lock = folder / f"{sender}{LOCK_SUFFIX}"
        try:
            descriptor = _open(lock)
        except PermissionError:
            return None
        with suppress(BlockingIOError):  # a living process holds it: an answer, not an error
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(lock, descriptor):
                return cls(lock, descriptor)
        _close(descriptor)
        return None

    def segments(self) -> list[Path]:
        """This sender's segments, oldest first."""
        return segments_of(self.folder, self.sender)

    def give_back(self) -> None:
        """Stop owning it; without segments, the name is gone for good."""
        if not self.segments():
            self._lock.unlink(missing_ok=True)
        # Closing alone would leave it to a child that was forked without our knowledge.
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        _close(self._descriptor)

    def drop_copy(self) -> None:
        """Close the lock without touching what it stands for: for a child, which has done so already, and for tests."""
        _close(self._descriptor)


def is_alive(folder: Path, sender: str) -> bool:
    """Whether a living process holds a sender's name; asks without taking it, and leaves no trace."""
    try:
        with (folder / f"{sender}{LOCK_SUFFIX}").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def segments_of(folder: Path, sender: str) -> list[Path]:
    """A sender's segments, oldest first."""
    return sorted(folder.glob(f"{sender}-*{SEGMENT_SUFFIX}"))


def sender_of(segment: Path) -> str:
    """Whose segment it is, by its name."""
    return segment.name.rpartition("-")[0]


def senders_in(folder: Path) -> set[str]:
    """Every sender, living or dead, that a folder has a lock or a segment of."""
    locked = {path.name.removesuffix(LOCK_SUFFIX) for path in folder.glob(f"*{LOCK_SUFFIX}")}
    return locked | {sender_of(path) for path in folder.glob(f"*-*{SEGMENT_SUFFIX}")}


def _open(path: Path, flags: int = 0) -> int:
    with _opening:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
        _descriptors.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    with _opening:
        if descriptor in _descriptors:
            _descriptors.discard(descriptor)
            os.close(descriptor)


def _after_fork_in_child() -> None:
    for descriptor in list(_descriptors):
        _close(descriptor)
    _opening.release()


def _is_same_file(path: Path, descriptor: int) -> bool:
    """Whether the lock we hold is still the file that others will open: its last owner may just have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_after_fork_in_child)
