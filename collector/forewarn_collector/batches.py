"""
Cuts what a consumer has polled into batches that can be formed again, record for record, after a crash.

A batch is a run of offsets of one topic-partition, and its token names that run. Before a batch is inserted its last
offset is noted in the log (the *intent*); a restarted sink reads the note and cuts at the same place, so that the token
comes out the same and the store drops what it already has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from forewarn_collector.log.interface import Committed, Record, TopicPartition

_INTENT: Final = "intent:"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one topic-partition in order; never empty."""

    records: tuple[Record, ...]

    @property
    def at(self) -> TopicPartition:
        return self.records[0].at

    @property
    def first(self) -> int:
        return self.records[0].offset

    @property
    def last(self) -> int:
        return self.records[-1].offset

    @property
    def size(self) -> int:
        return sum(len(record.value) for record in self.records)

    @property
    def intent(self) -> Committed:
        """What to commit before the insert: still the first offset, with a note of the last."""
        return Committed(self.first, f"{_INTENT}{self.last}")

    @property
    def done(self) -> Committed:
        """What to commit after it."""
        return Committed(self.last + 1)


def token(records: Sequence[Record]) -> str:
    """One name for one set of records: `topic:partition:first-last`, and how many where some between are left out."""
    first, last = records[0], records[-1]
    name = f"{first.topic}:{first.partition}:{first.offset}-{last.offset}"
    return name if len(records) == last.offset - first.offset + 1 else f"{name}:{len(records)}"


class Former:
    """Holds records until they are taken as batches. `committed`: how far the group has come at a topic-partition."""

    def __init__(self, committed: Callable[[TopicPartition], Committed | None]) -> None:
        self._committed = committed
        self._waiting: dict[TopicPartition, list[Record]] = {}
        self._intents: dict[TopicPartition, int] = {}

    def add(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.at not in self._waiting:
                self._waiting[record.at] = []
                self._intents[record.at] = _noted(self._committed(record.at))
            self._waiting[record.at].append(record)

    def next(self) -> Batch | None:
        """A batch that is ready, oldest topic-partition first; it stays here until it is `done`."""
        for at, waiting in self._waiting.items():
            if not waiting:
                continue
            intended = self._intents[at]
            if intended < waiting[0].offset:
                return Batch(tuple(waiting))
            if intended <= waiting[-1].offset:
                return Batch(tuple(record for record in waiting if record.offset <= intended))
        return None

    def promise(self, batch: Batch) -> None:
        """From now on the next batch of this topic-partition is this one, whatever else arrives."""
        self._intents[batch.at] = batch.last

    def done(self, batch: Batch) -> None:
        waiting = self._waiting[batch.at]
        self._waiting[batch.at] = [record for record in waiting if record.offset > batch.last]

    def is_promised(self, batch: Batch) -> bool:
        return self._intents[batch.at] == batch.last


def _noted(committed: Committed | None) -> int:
    """The last offset of an intent; -1 where none is open."""
    if committed is None or not committed.metadata.startswith(_INTENT):
        return -1
    return int(committed.metadata.removeprefix(_INTENT))
