"""One segment on its way out: what of it is to be sent next, and what has arrived."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, NamedTuple

from forewarn.recording.interface import FrameKind
from forewarn.recording.segments import Damage, Frame, SegmentReader

BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 1 << 20
STARTS_RECORDS: Final = 64
"""Start records travel in small requests, so that one that matters does not wait for many that do not."""

_log = logging.getLogger("forewarn")


class Batch(NamedTuple):
    """Records for one request, and the offset up to which the segment is then dealt with."""

    records: list[bytes]
    end: int


class Outgoing:
    """Two places in one segment: how far start records were sent, and how far everything has arrived."""

    def __init__(self, reader: SegmentReader, end: int) -> None:
        self.path: Path = reader.path
        self.resource = reader.resource
        self.end = end
        self._reader = reader
        self._starts_at = reader.acknowledged
        self._damage_told = reader.acknowledged

    @property
    def has_arrived(self) -> bool:
        return self.has_arrived_to(self.end)

    def has_arrived_to(self, offset: int) -> bool:
        return self._reader.acknowledged >= offset

    def next_starts(self) -> Batch | None:
        """The next start records; None once the others may be sent up to the end."""
        while self._starts_at < self.end:
            batch = self._batch(self._starts_at, self.end, FrameKind.START, STARTS_RECORDS)
            if batch.records:
                return batch
            self._starts_at = batch.end
        return None

    def starts_arrived(self, batch: Batch) -> None:
        self._starts_at = batch.end

    def next_rest(self) -> Batch:
        """The next records that are not starts, among those whose starts were sent; possibly none, only an end."""
        return self._batch(self._reader.acknowledged, min(self._starts_at, self.end), FrameKind.OTHER, BATCH_RECORDS)

    def rest_arrived(self, batch: Batch) -> None:
        self._reader.acknowledge(batch.end)

    def close(self) -> None:
        self._reader.close()

    def _batch(self, begin: int, end: int, kind: FrameKind, most: int) -> Batch:
        records: list[bytes] = []
        size = 0
        at = begin
        for found in self._reader.read(begin, end):
            match found:
                case Frame(found_kind, record, behind):
                    if found_kind == kind:
                        size += len(record)
                        if records and (size > BATCH_BYTES or len(records) == most):
                            break
                        records.append(record)
                    at = behind
                case Damage():
                    self._tell(found)
                    at = found.end
        return Batch(records, at)

    def _tell(self, damage: Damage) -> None:
        if damage.end > self._damage_told:
            self._damage_told = damage.end
            _log.warning(
                "Forewarn skips %d unreadable bytes at %d of %s: a torn last write, or a bad disk.",
                damage.end - damage.begin,
                damage.begin,
                self.path,
            )
