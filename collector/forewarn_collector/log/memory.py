"""
The log in memory: for tests and for trying things out. It keeps every promise of `Log` except surviving its process.

It has as many partitions as asked for, so that what only shows with several can be tested without a broker.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from itertools import count

from forewarn_collector.log.batch import Batch
from forewarn_collector.log.interface import (
    Appended,
    Committed,
    Consumer,
    LogFull,
    LogUnavailable,
    Record,
    TopicPartition,
)


class _Partition:
    """Records in order; `first` is the offset of the oldest kept."""

    def __init__(self, at: TopicPartition) -> None:
        self.at = at
        self.first = 0
        self.records: list[Record] = []

    @property
    def end(self) -> int:
        return self.first + len(self.records)

    def drop(self, before: int) -> int:
        """Forget the records before an offset; return the bytes they held."""
        number = max(0, before - self.first)
        size = sum(len(record.value) for record in self.records[:number])
        del self.records[:number]
        self.first += number
        return size


class MemoryLog:
    """`Log` without a disk; `max_bytes` bounds the values, None does not."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        max_bytes: int | None = None,
        retention: timedelta = timedelta(days=7),
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._number = partitions
        self._max_bytes = max_bytes
        self._retention_ns = int(retention.total_seconds() * 1e9)
        self._clock_ns = clock_ns
        self._bell = threading.Condition()
        self._topics: dict[str, list[_Partition]] = {}
        self._groups: dict[str, dict[TopicPartition, Committed | None]] = {}
        self._turn = count()
        self._bytes = 0
        self._closed = False

    def append(
        self, topic: str, value: bytes, *, key: bytes = b"", headers: Mapping[str, bytes] | None = None
    ) -> Future[Appended]:
        done: Future[Appended] = Future()
        with self._bell:
            refusal = self._refusal(len(value))
            if refusal is not None:
                done.set_exception(refusal)
                return done
            partition = self._topic(topic)[(zlib.crc32(key) if key else next(self._turn)) % self._number]
            now = max(self._clock_ns(), partition.records[-1].timestamp_ns if partition.records else 0)
            offset = partition.end
            partition.records.append(
                Record(topic, partition.at.partition, offset, value, key, dict(headers or {}), timestamp_ns=now)
            )
            self._bytes += len(value)
            self._bell.notify_all()
        done.set_result(Appended(partition.at, offset, now))
        return done

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        with self._bell:
            self._check_open()
            committed = self._groups.setdefault(group, {})
            partitions = [self._topic(topic) for topic in topics]
            for partition in (p for of_topic in partitions for p in of_topic):
                committed.setdefault(partition.at, None)
            return MemoryConsumer(self, group, partitions)

    def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        with self._bell:
            self._check_open()
            return {partition.at: partition.end for topic in topics for partition in self._topic(topic)}

    def close(self) -> None:
        with self._bell:
            self._closed = True
            self._bell.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("The log in memory is closed: its process is stopping.")

    def _topic(self, topic: str) -> list[_Partition]:
        if topic not in self._topics:
            self._topics[topic] = [_Partition(TopicPartition(topic, number)) for number in range(self._number)]
        return self._topics[topic]

    def _refusal(self, size: int) -> Exception | None:
        if self._closed:
            return LogUnavailable("The log in memory is closed: its process is stopping.")
        self._drop(before_ns=self._clock_ns() - self._retention_ns)
        if self._max_bytes is None or self._bytes + size <= self._max_bytes:
            return None
        self._drop(before_ns=None)
        if self._bytes + size <= self._max_bytes:
            return None
        return LogFull(
            f"The log in memory holds {self._bytes} bytes that some group has yet to read; send again later."
        )

    def _drop(self, *, before_ns: int | None) -> None:
        """Forget what every known group has read (and what is older than `before_ns`)."""
        for partition in (p for of_topic in self._topics.values() for p in of_topic):
            read = min((self._read(group, partition) for group in self._groups.values()), default=partition.end)
            kept = partition.first
            for record in partition.records:
                if record.offset >= read or (before_ns is not None and record.timestamp_ns >= before_ns):
                    break
                kept = record.offset + 1
            self._bytes -= partition.drop(kept)

    @staticmethod
    def _read(group: Mapping[TopicPartition, Committed | None], partition: _Partition) -> int:
        """The offset a group reads next; the end for a group that does not read this topic."""
        if partition.at not in group:
            return partition.end
        committed = group[partition.at]
        return committed.offset if committed is not None else 0


class MemoryConsumer:
    """A member of a group; it reads every partition, also where its group has a second member."""

    def __init__(self, log: MemoryLog, group: str, topics: list[list[_Partition]]) -> None:
        self._log = log
        self._committed = log._groups[group]  # noqa: SLF001 - the two are one thing in two classes
        self._topics = topics
        self._next = {p.at: self._start(p) for of_topic in topics for p in of_topic}
        self._turn = 0

    def poll(self, *, max_records: int = 500, max_bytes: int = 16 << 20, timeout_s: float = 0.0) -> list[Record]:
        batch = Batch(max_records=max_records, max_bytes=max_bytes)
        with self._log._bell:  # noqa: SLF001
            self._log._check_open()  # noqa: SLF001
            self._log._bell.wait_for(lambda: self._log._closed or self._news(), timeout_s)  # noqa: SLF001
            for partitions in self._topics:
                # Whose turn it is to be read first moves on, so that a full partition does not hide the others.
                self._turn += 1
                for number in range(len(partitions)):
                    self._fill(batch, partitions[(number + self._turn) % len(partitions)])
        return batch.records

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        with self._log._bell:  # noqa: SLF001
            self._log._check_open()  # noqa: SLF001
            self._committed.update(positions)

    def committed(self, at: TopicPartition) -> Committed | None:
        with self._log._bell:  # noqa: SLF001
            return self._committed.get(at)

    def close(self) -> None:
        """Nothing is held."""

    def _news(self) -> bool:
        return any(p.end > self._next[p.at] for of_topic in self._topics for p in of_topic)

    def _fill(self, batch: Batch, partition: _Partition) -> None:
        at = partition.at
        self._next[at] = max(self._next[at], partition.first)
        while self._next[at] < partition.end and batch.offer(partition.records[self._next[at] - partition.first]):
            self._next[at] += 1

    def _start(self, partition: _Partition) -> int:
        committed = self._committed.get(partition.at)
        return committed.offset if committed is not None else partition.first
