"""
Claims: which process owns which segments, told by a file lock that the kernel drops with its owner.

Every sender's segments are named after it and stand beside `<sender>.lock`, which it holds exclusively (`flock`) while
it lives. A lock that can be taken has a dead owner, and whoever takes it owns the segments. A forked child shares its
parent's lock without wanting to; it closes its copy and claims a name of its own (see `runtime`).

`flock` is not to be trusted on network file systems; the spool belongs on a local disk.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

LOCK_SUFFIX: Final = ".lock"
SEGMENT_SUFFIX: Final = ".segment"


class Claim:
    """A sender's name in a folder, held by this process."""

    def __init__(self, lock: Path, descriptor: int) -> None:
        self.sender = lock.name.removesuffix(LOCK_SUFFIX)
        self._lock = lock
        self._descriptor = descriptor

    @classmethod
    def make(cls, folder: Path, sender: str) -> Claim:
        """A new name, `sender` or one that begins with it; held before anybody else can see it."""
        draft = folder / f".{sender}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in itertools.chain([sender], (f"{sender}.{number}" for number in itertools.count(2))):
            with suppress(FileExistsError):
                lock = folder / f"{name}{LOCK_SUFFIX}"
                os.link(draft, lock)
                draft.unlink()
                return cls(lock, descriptor)
        raise AssertionError("unreachable: numbers do not end")

    @classmethod
    def take(cls, folder: Path, sender: str) -> Claim | None:
        """The name of a dead sender; None if a living one holds it."""
        lock = folder / f"{sender}{LOCK_SUFFIX}"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):  # a living process holds it: an answer, not an error
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(lock, descriptor):
                return cls(lock, descriptor)
        os.close(descriptor)
        return None

    def segments(self) -> list[Path]:
        """This sender's segments, oldest first."""
        return sorted(self._lock.parent.glob(f"{self.sender}-*{SEGMENT_SUFFIX}"))

    def give_back(self) -> None:
        """Stop owning it; without segments, the name is gone for good."""
        if not self.segments():
            self._lock.unlink(missing_ok=True)
        os.close(self._descriptor)

    def drop_copy(self) -> None:
        """In a forked child: close the inherited lock without touching what the parent holds."""
        os.close(self._descriptor)


def take_abandoned(folder: Path) -> list[Claim]:
    """Claim the segments of every dead sender in the folder. This process's own claims are held like any other's."""
    senders = {path.name.removesuffix(LOCK_SUFFIX) for path in folder.glob(f"*{LOCK_SUFFIX}")}
    senders |= {path.name.rpartition("-")[0] for path in folder.glob(f"*-*{SEGMENT_SUFFIX}")}
    claims = (Claim.take(folder, sender) for sender in sorted(senders))
    return [claim for claim in claims if claim is not None]


def _is_same_file(path: Path, descriptor: int) -> bool:
    """Whether the lock we hold is still the file that others will open: its last owner may just have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
