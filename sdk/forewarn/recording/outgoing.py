"""One segment on its way out: what of it is to be sent next, and what has arrived."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from forewarn.recording.interface import FrameKind
from forewarn.recording.segments import Damage, Frame, SegmentReader
from forewarn.recording.sequences import open_segment

BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 1 << 20
STARTS_RECORDS: Final = 64
"""Start records travel in small requests, so that one that matters does not wait for many that do not."""


class Batch(NamedTuple):
    """Records for one request, and the offset up to which the segment is then dealt with."""

    records: list[bytes]
    end: int


class Outgoing:
    """
    Two places in one segment: how far start records were sent, and how far everything has arrived.

    The file is open only while it is looked at: a folder may hold more segments than a process may open files. One that
    was dropped meanwhile has nothing more to send.
    """

    def __init__(self, path: Path, end: int, on_damage: Callable[[Path, Damage], None]) -> None:
        """Raises FileNotFoundError, or EmptySegment if it holds no frame and never will."""
        self.path = path
        self.end = end
        self.is_gone = False
        self._on_damage = on_damage
        with self._open() as reader:
            self.resource = reader.resource
            self._arrived_at = self._starts_at = self._damage_told = reader.acknowledged
            if not reader.is_sound:
                on_damage(path, Damage(0, reader.first))

    @property
    def has_arrived(self) -> bool:
        return self.has_arrived_to(self.end)

    def has_arrived_to(self, offset: int) -> bool:
        return self.is_gone or self._arrived_at >= offset

    def next_starts(self) -> Batch | None:
        """The next start records; None once the others may be sent up to the end."""
        while self._starts_at < self.end and not self.is_gone:
            batch = self._batch(self._starts_at, self.end, FrameKind.START, STARTS_RECORDS)
            if batch.records:
                return batch
            self._starts_at = batch.end
        return None

    def starts_arrived(self, batch: Batch) -> None:
        self._starts_at = batch.end

    def next_rest(self) -> Batch:
        """The next records that are not starts, among those whose starts were sent; possibly none, only an end."""
        return self._batch(self._arrived_at, min(self._starts_at, self.end), FrameKind.OTHER, BATCH_RECORDS)

    def rest_arrived(self, batch: Batch) -> None:
        try:
            with self._open() as reader:
                reader.acknowledge(batch.end)
        except FileNotFoundError:
            self.is_gone = True
        else:
            self._arrived_at = batch.end

    def _open(self) -> SegmentReader:
        reader = open_segment(self.path)
        if reader is None:
            raise EmptySegment(self.path)
        return reader

    def _batch(self, begin: int, end: int, kind: FrameKind, most: int) -> Batch:
        try:
            with self._open() as reader:
                found = reader.read(begin, end)
        except FileNotFoundError:
            self.is_gone = True
            return Batch([], end)
        records: list[bytes] = []
        size = 0
        at = begin
        for one in found:
            match one:
                case Frame(found_kind, record, behind):
                    if found_kind == kind:
                        size += len(record)
                        if records and (size > BATCH_BYTES or len(records) == most):
                            break
                        records.append(record)
                    at = behind
                case Damage():
                    self._tell(one)
                    at = one.end
        return Batch(records, at)

    def _tell(self, damage: Damage) -> None:
        if damage.end > self._damage_told:
            self._damage_told = damage.end
            self._on_damage(self.path, damage)


class EmptySegment(Exception):
    """Not a single frame is in it: its process died while it began it."""
