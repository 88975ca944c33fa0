"""
The log: where a record is durable before anyone is told that it was taken.

Kafka's words are used throughout: topic, partition, offset, key, header, consumer group, commit.

* LogError
  + LogFull           the sender should come back later: consumers are behind and the bound is reached
  + LogUnavailable    nobody's fault: the append is not known to be durable; the sender should repeat it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class LogError(Exception):
    """Base of what a log raises."""


class LogFull(LogError):
    """The log holds as much as it may and its consumers have not read it yet; repeat later."""


class LogUnavailable(LogError):
    """The append is not known to be durable; repeat it."""


class TopicPartition(NamedTuple):
    """One ordered sequence of records."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it is read back. `timestamp_ns`: Unix time of the append."""

    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes = b""
    headers: Mapping[str, bytes] = field(default_factory=dict)
    timestamp_ns: int = 0

    @property
    def at(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Committed:
    """How far a group has come: the next offset to read, and a note stored with it (Kafka: commit metadata)."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Appended:
    """
    Where a record is durable. `timestamp_ns`: Unix time of the append, as `Record.timestamp_ns` will say it.

    A log notes it as part of what it makes durable, so it is a little earlier than the moment from which the record is.
    """

    at: TopicPartition
    offset: int
    timestamp_ns: int


class Consumer(Protocol):
    """One member of a consumer group; used by one thread."""

    def poll(self, *, max_records: int = 500, max_bytes: int = 16 << 20, timeout_s: float = 0.0) -> list[Record]:
        """
        Return the next records, each once per consumer, in order within a partition; [] after `timeout_s` without any.

        Topics are read in the order the consumer was given them: a later one only once the earlier have nothing more,
        so one batch may hold several topics, the earlier ones first. `max_bytes` counts values; at least one record is
        returned where there is one, even if it alone is larger. Raises `LogUnavailable`, also when the log is closed;
        a poll that waits while it is closed returns [].
        """
        ...

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        """
        Return once the positions would survive a crash, or raise `LogUnavailable`; what is not named stays.

        They may go back: that is how a suffix is replayed. This consumer reads on where it is; the next one of the
        group starts there.
        """
        ...

    def committed(self, at: TopicPartition) -> Committed | None:
        """What the group last committed there, or None."""
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """Topics of records. Safe to use from many threads."""

    def append(
        self, topic: str, value: bytes, *, key: bytes = b"", headers: Mapping[str, bytes] | None = None
    ) -> Future[Appended]:
        """
        Start an append; the future is done only once the record would survive a crash of this machine.

        Does not wait, so that an event loop may call it. Records of one topic and key keep their order. The future
        fails with `LogFull` or `LogUnavailable`; after the latter the record may be there all the same. A future that
        is cancelled in time is not written.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """
        A consumer that starts where its group last committed, or at the oldest record kept.

        It makes the group known for these topics. Raises `LogUnavailable`.
        """
        ...

    def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get. Raises `LogUnavailable`: a probe of the log."""
        ...

    def close(self) -> None:
        """Answer every append, stop, and refuse what comes later with `LogUnavailable`; a second call does nothing."""
        ...
