"""
Retention: how much a folder may hold, and which records go first when it does.

The oldest records of `read` calls go, whole segments of them, this sender's and those of dead ones; what a living
process has spooled is its own business. The last eighth is closed to reads, so that no crowd of them, whoever recorded
it, keeps a record that matters out. Nothing goes silently: each number is told, or left as a scar for a dead sender.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from forewarn.conventions import Effect, LossReason
from forewarn.recording.claims import READS_SUFFIX, SEGMENT_SUFFIX, Claim, sender_of
from forewarn.recording.losses import Lost
from forewarn.recording.scars import leave_scar
from forewarn.recording.sequences import open_segment, unsent

_RESERVED: Final = 8
"""Reads leave one part in so many to the others."""
_AT_ONCE: Final = 64
"""So large a part of the bound is made free at once: looking through the folder for every record would be slow."""

_log = logging.getLogger("forewarn")


class Held(NamedTuple):
    """A segment in the folder, whoever wrote it."""

    path: Path
    size: int
    written_ns: int


class Retention:
    """One folder's bound, as one sender keeps it. `on_lost` is told of this sender's own losses."""

    def __init__(self, folder: Path, max_bytes: int, on_lost: Lost) -> None:
        self.on_lost = on_lost
        self._folder = folder
        self._max_bytes = max_bytes
        self._dropped = 0
        self._tell_at = 1

    def make_room(self, needed: int, *, for_reads: bool, own: str, give_up: Callable[[Path], None]) -> int:
        """
        Drop reads until there is room, or none are left that may go; how much room there is then.

        `own`: this sender's name; its segments are dropped once `give_up` has let go of them.
        """
        segments = held(self._folder)
        left = self.limit(for_reads=for_reads) - sum(one.size for one in segments)
        if left >= needed:
            return left
        wanted = needed + self._max_bytes // _AT_ONCE
        claims: dict[str, Claim | None] = {}
        try:
            for one in _oldest_reads(segments):
                if left >= wanted:
                    break
                left += self._drop(one, own, give_up, claims)
        finally:
            for claim in claims.values():
                if claim is not None:
                    claim.give_back()
        return left

    def _drop(self, one: Held, own: str, give_up: Callable[[Path], None], claims: dict[str, Claim | None]) -> int:
        """How many bytes that made free: none if the segment is a living process's."""
        sender = sender_of(one.path)
        if sender == own:
            give_up(one.path)
            claim = None
        else:
            if sender not in claims:
                claims[sender] = Claim.take(self._folder, sender)
            claim = claims[sender]
            if claim is None:
                return 0
        try:
            self._lose(one.path, claim)
        except FileNotFoundError:
            return 0
        return one.size

    def _lose(self, path: Path, claim: Claim | None) -> None:
        """Remove a segment, and say what of it had not arrived: to the ledger, or for a dead sender by a scar."""
        reader = open_segment(path)
        if reader is None:
            path.unlink()
            return
        with reader:
            lost = [number for number, _ in unsent(reader) if number is not None]
        path.unlink()
        self._tell(len(lost))
        if lost and claim is None:
            self.on_lost(LossReason.SPOOL_FULL, lost, Effect.READ)
        elif lost and claim is not None:
            leave_scar(claim, reader.resource, reason=LossReason.SPOOL_FULL, lost=lost, effect=Effect.READ)

    def limit(self, *, for_reads: bool) -> int:
        """How many bytes the folder may hold after such a record."""
        return self._max_bytes - (self._max_bytes // _RESERVED if for_reads else 0)

    def _tell(self, dropped: int) -> None:
        """Each time the number has doubled: the ledger has them all, the log must not be flooded."""
        self._dropped += dropped
        if dropped and self._dropped >= self._tell_at:
            self._tell_at = self._dropped * 2
            _log.error(
                "Forewarn has dropped %d records of read calls: %s has reached its bound of %d bytes, and nobody takes "
                "its records. Is the gateway reachable? `forewarn spool status` shows what waits.",
                self._dropped,
                self._folder,
                self._max_bytes,
            )


def held(folder: Path) -> list[Held]:
    """Every segment in the folder; one that is removed meanwhile is not there."""
    return list(_held(folder))


def _held(folder: Path) -> Iterator[Held]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SEGMENT_SUFFIX):
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue
                yield Held(Path(entry.path), status.st_size, status.st_mtime_ns)


def _oldest_reads(segments: list[Held]) -> list[Held]:
    reads = [one for one in segments if one.path.name.endswith(READS_SUFFIX)]
    return sorted(reads, key=lambda one: (one.written_ns, one.path.name))
