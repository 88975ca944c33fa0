"""
THE ROAD of a record from the log to the store; `Sink.step` is to be read from top to bottom.

Every step can be repeated after a crash at any line: a batch is formed again with the same edges, its insert is
dropped by its token, and rows that arrive twice under different tokens collapse in their tables. The store's work is
done without decoding a request here; only when the engine refuses a batch are its records looked at, one by one.

* SinkError
  + TooManyRejected     records go bad faster than a few broken senders explain: stop, and let somebody look
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from forewarn.conventions import Topic
from forewarn_collector.batches import Batch, Former, token
from forewarn_collector.log.interface import Log, LogError, Record
from forewarn_collector.store.decoding import request_fault
from forewarn_collector.store.events import event_fault
from forewarn_collector.store.interface import BadPayload, Store, StoreUnavailable

log = logging.getLogger(__name__)

GROUP: Final = "sink"
TOPICS: Final = (Topic.STARTS, Topic.SPANS, Topic.EVENTS)
REASON_HEADER: Final = "forewarn.dead_letter.reason"
SOURCE_HEADER: Final = "forewarn.dead_letter.source"
"""`topic:partition:offset` of the record that was buried."""


class SinkError(Exception):
    """Base of what the sink raises by itself."""


class TooManyRejected(SinkError):
    """More than a bounded share of the records cannot be stored."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How much at once, and how often.

    Merging many small parts costs the engine more than reading the bytes does: an insert is made at once after quiet,
    and `pause_s` after the one before while records keep coming, unless a full batch is waiting already.
    """

    max_bytes: int = 32 << 20
    max_records: int = 20_000
    pause_s: float = 1.0
    poll_s: float = 0.5
    first_retry_s: float = 0.25
    longest_retry_s: float = 15.0


@dataclass(frozen=True, slots=True)
class BadShare:
    """How many of the latest `window` records may be buried: `least` in any case, and no more than `share` of them."""

    share: float = 0.1
    least: int = 20
    window: int = 1000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be stored, and why."""

    record: Record
    reason: str


class SinkMetrics:
    """What an operator watches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge(
            "forewarn_sink_lag_records", "Records in the log that are not stored yet", ["topic"], registry=registry
        )
        self.batch_bytes = Histogram(
            "forewarn_sink_batch_bytes",
            "Size of an insert",
            registry=registry,
            buckets=[1 << power for power in range(10, 28, 2)],
        )
        self.insert_seconds = Histogram("forewarn_sink_insert_seconds", "Time of an insert", registry=registry)
        self.age_seconds = Histogram(
            "forewarn_sink_age_seconds",
            "From durable in the log to stored, oldest record of a batch",
            registry=registry,
        )
        self.stored = Counter("forewarn_sink_records", "Records stored", ["topic"], registry=registry)
        self.buried = Counter("forewarn_sink_rejected_records", "Records sent to the dead letters", registry=registry)
        self.retries = Counter("forewarn_sink_retries", "Inserts or commits to be repeated", registry=registry)


class Sink:
    """One member of the group that moves records into the store; used by one thread."""

    def __init__(
        self,
        log: Log,
        store: Store,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        pace: Pace | None = None,
        bad_share: BadShare | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._clock_ns = clock_ns
        self._pace = pace or Pace()
        self._bad_share = bad_share or BadShare()
        self._metrics = SinkMetrics(registry or CollectorRegistry())
        self._consumer = log.consumer(GROUP, TOPICS)
        self._former = Former(self._consumer.committed)
        self._latest_were_bad: list[bool] = []
        self._was_full = False

    def step(self, *, timeout_s: float = 0.0) -> int:
        """
        Move one poll's worth of records and return how many; 0 where none came within `timeout_s`.

        Raises `StoreUnavailable` or `LogError` with nothing lost: the next step goes on with the same batch.
        """
        if self._former.next() is None:
            self._former.add(self._poll(timeout_s))
        moved = 0
        while batch := self._former.next():
            if not self._former.is_promised(batch):
                self._consumer.commit({batch.at: batch.intent})
                self._former.promise(batch)
            rejected = self._insert(batch.records)
            self._bury(rejected, of=len(batch.records))
            self._consumer.commit({batch.at: batch.done})
            self._former.done(batch)
            self._note(batch)
            moved += len(batch.records)
        return moved

    def run(self, stop: threading.Event) -> None:
        """Step until `stop` is set; wait and repeat while the store or the log is away."""
        retry_s = self._pace.first_retry_s
        while not stop.is_set():
            began = time.monotonic()
            try:
                moved = self.step(timeout_s=self._pace.poll_s)
            except (StoreUnavailable, LogError) as fault:
                self._metrics.retries.inc()
                log.warning("records wait in the log, next try in %.1f s: %s", retry_s, fault)
                stop.wait(retry_s)
                retry_s = min(retry_s * 2, self._pace.longest_retry_s)
                continue
            retry_s = self._pace.first_retry_s
            if moved and not self._was_full:
                stop.wait(max(0.0, self._pace.pause_s - (time.monotonic() - began)))

    def close(self) -> None:
        self._consumer.close()

    def _poll(self, timeout_s: float) -> list[Record]:
        pace = self._pace
        records = self._consumer.poll(max_records=pace.max_records, max_bytes=pace.max_bytes, timeout_s=timeout_s)
        size = sum(len(record.value) for record in records)
        self._was_full = len(records) >= pace.max_records or size >= pace.max_bytes // 2
        return records

    def _insert(self, records: Sequence[Record]) -> list[Rejected]:
        """Store all that can be stored and return the rest."""
        events = records[0].topic == Topic.EVENTS
        insert, fault_of = (
            (self._store.insert_events, event_fault) if events else (self._store.insert_spans, request_fault)
        )
        began = time.monotonic()
        try:
            insert(records, token=token(records))
        except BadPayload as fault:
            if len(records) == 1:
                return [Rejected(records[0], str(fault))]
        else:
            self._metrics.insert_seconds.observe(time.monotonic() - began)
            return []
        rejected = [Rejected(record, reason) for record in records if (reason := fault_of(record.value))]
        if rejected:
            bad = {each.record.offset for each in rejected}
            good = [record for record in records if record.offset not in bad]
            return rejected + (self._insert(good) if good else [])
        # Each reads well and yet the engine refuses them: halve until the one that it refuses is alone.
        middle = len(records) // 2
        return self._insert(records[:middle]) + self._insert(records[middle:])

    def _bury(self, rejected: Sequence[Rejected], *, of: int) -> None:
        limit = self._bad_share
        latest = [*self._latest_were_bad, *[True] * len(rejected), *[False] * (of - len(rejected))][-limit.window :]
        bad, seen = sum(latest), len(latest)
        if rejected and bad > max(limit.least, limit.share * seen):
            msg = (
                f"{bad} of the latest {seen} records cannot be stored, the last because: {rejected[-1].reason}. "
                f"Nothing of the batch is committed; look at {_place(rejected[-1].record)}, mend the sender or the "
                "store, start again"
            )
            raise TooManyRejected(msg)
        buried = [
            self._log.append(
                Topic.DEAD_LETTERS,
                each.record.value,
                key=each.record.key,
                headers={
                    **each.record.headers,
                    REASON_HEADER: each.reason.encode()[:1000],
                    SOURCE_HEADER: _place(each.record).encode(),
                },
            )
            for each in rejected
        ]
        self._latest_were_bad = latest
        for each, appended in zip(rejected, buried, strict=True):
            appended.result()
            self._metrics.buried.inc()
            log.error("buried %s: %s", _place(each.record), each.reason)

    def _note(self, batch: Batch) -> None:
        metrics = self._metrics
        metrics.stored.labels(batch.at.topic).inc(len(batch.records))
        metrics.batch_bytes.observe(batch.size)
        metrics.age_seconds.observe(max(0.0, (self._clock_ns() - batch.records[0].timestamp_ns) / 1e9))
        end = self._log.end_offsets([batch.at.topic]).get(batch.at, batch.last + 1)
        metrics.lag.labels(batch.at.topic).set(max(0, end - batch.last - 1))


def _place(record: Record) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"
