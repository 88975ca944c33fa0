"""
The log as one process sees it: durable in itself (`MemoryLog` stands for the disk), and away, full, silent or the death
of whoever uses it, in between. What it has confirmed is never lost; what it has not may be there all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from tests.simulation.fate import Fate
from tests.simulation.truth import POISON_KEY, Entry, Truth

from forewarn.conventions import Stamp
from forewarn_collector.log.interface import (
    Appended,
    Committed,
    Consumer,
    LogFull,
    LogUnavailable,
    Record,
    TopicPartition,
)
from forewarn_collector.log.memory import MemoryLog


class DurableLog(MemoryLog):
    """Tells the truth of every record that it took."""

    def __init__(self, truth: Truth, *, partitions: int, max_bytes: int | None, clock_ns: Callable[[], int]) -> None:
        super().__init__(partitions=partitions, max_bytes=max_bytes, clock_ns=clock_ns)
        self.truth = truth

    def append(
        self, topic: str, value: bytes, *, key: bytes = b"", headers: Mapping[str, bytes] | None = None
    ) -> Future[Appended]:
        done = super().append(topic, value, key=key, headers=headers)
        if done.exception() is None:
            at, offset, at_ns = done.result().at, done.result().offset, done.result().timestamp_ns
            environment = (headers or {}).get(Stamp.ENVIRONMENT, b"").decode()
            self.truth.logged(
                Entry(str(topic), at.partition, offset, value, environment, at_ns, is_poison=key == POISON_KEY)
            )
        return done


class FailingLog:
    """One process's connection to the log."""

    def __init__(self, log: DurableLog, fate: Fate, *, may_be_silent: bool = False) -> None:
        self._log = log
        self._truth = log.truth
        self._fate = fate
        self._may_be_silent = may_be_silent

    def append(
        self, topic: str, value: bytes, *, key: bytes = b"", headers: Mapping[str, bytes] | None = None
    ) -> Future[Appended]:
        fate = self._fate
        fate.point("before an append")
        refused: Future[Appended] = Future()
        if fate.strikes("log is full"):
            self._truth.not_taken(topic, value, key)
            refused.set_exception(LogFull("full, for now"))
            return refused
        is_silent = self._may_be_silent and fate.strikes("log is silent")
        if is_silent or fate.strikes("log is away"):
            if fate.random.random() < 0.5:
                self._log.append(topic, value, key=key, headers=headers)
            if not is_silent:
                refused.set_exception(LogUnavailable("away, for now"))
            return refused
        done = self._log.append(topic, value, key=key, headers=headers)
        if isinstance(done.exception(), LogFull):
            self._truth.not_taken(topic, value, key)
        fate.point("behind an append")
        return done

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        return _FailingConsumer(self._log.consumer(group, topics), self._fate)

    def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        return self._log.end_offsets(topics)

    def close(self) -> None:
        """The log outlives its users."""


class _FailingConsumer:
    def __init__(self, consumer: Consumer, fate: Fate) -> None:
        self._consumer = consumer
        self._fate = fate

    def poll(self, *, max_records: int = 500, max_bytes: int = 16 << 20, timeout_s: float = 0.0) -> list[Record]:
        self._fate.point("before a poll")
        if self._fate.strikes("log is away"):
            raise LogUnavailable("away, for now")
        return self._consumer.poll(max_records=max_records, max_bytes=max_bytes)

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        fate = self._fate
        fate.point("before a commit of positions")
        if fate.strikes("log is away"):
            if fate.random.random() < 0.5:
                self._consumer.commit(positions)
            raise LogUnavailable("away, for now")
        self._consumer.commit(positions)
        fate.point("behind a commit of positions")

    def committed(self, at: TopicPartition) -> Committed | None:
        return self._consumer.committed(at)

    def close(self) -> None:
        self._consumer.close()
