"""
THE ROAD of a record from the log to the store; `Sink.step` is to be read from top to bottom.

Every step can be repeated after a crash at any line: a batch is formed again with the same edges, its insert is
dropped by its token, and rows that arrive twice under different tokens collapse in their tables. The store's work is
done without decoding a request here; only when the engine refuses a batch are its records looked at, one by one.
Nothing that a sender wrote ends the road: what of it cannot be stored is buried, and the road goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from forewarn.conventions import Topic
from forewarn_collector.batches import Batch, Former, token
from forewarn_collector.log.interface import Log, LogError, LogFull, Record
from forewarn_collector.refusals import BadShare, Doubt, Reading, Rejected, TooManyRejected, read_again
from forewarn_collector.rejections import announcements, place
from forewarn_collector.store.events import event_fault
from forewarn_collector.store.interface import BadPayload, Store, StoreUnavailable

log = logging.getLogger(__name__)

GROUP: Final = "sink"
TOPICS: Final = (Topic.STARTS, Topic.SPANS, Topic.EVENTS)
REASON_HEADER: Final = "forewarn.dead_letter.reason"
SOURCE_HEADER: Final = "forewarn.dead_letter.source"
"""`topic:partition:offset` of the record that was buried."""


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
        self.held_back = Gauge(
            "forewarn_sink_held_back", "1 while a batch waits because the store refuses too much", registry=registry
        )
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
        self._doubt = Doubt(bad_share or BadShare())
        self._metrics = SinkMetrics(registry or CollectorRegistry())
        self._consumer = log.consumer(GROUP, TOPICS)
        self._former = Former(self._consumer.committed)
        self._was_full = False

    def step(self, *, timeout_s: float = 0.0) -> int:
        """
        Move one poll's worth of records and return how many; 0 where none came within `timeout_s`.

        Raises `StoreUnavailable`, `LogError` or `TooManyRejected` with nothing lost: the next step goes on with the
        same batch.
        """
        if self._former.next() is None:
            self._former.add(self._poll(timeout_s))
        moved = 0
        while batch := self._former.next():
            if not self._former.is_promised(batch):
                self._consumer.commit({batch.at: batch.intent})
                self._former.promise(batch)
            self._bury(self._insert(batch.records))
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
            except (StoreUnavailable, LogError, TooManyRejected) as fault:
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
        refusal = self._refusal(records, token(records))
        rejected: list[Rejected] = []
        doubtful: list[Rejected] = []
        if refusal:
            log.warning("the store refuses a batch, its records are looked at: %s", refusal[:1000])
            readings = [_read(record) for record in records]
            rejected = [reading.rejected for reading in readings if reading.rejected]
            known = {each.record.offset for each in rejected}
            for each in self._refused([reading.record for reading in readings if reading.record]):
                if each.record.offset not in known:
                    doubtful.append(each)
                    self._weigh(doubtful, of=len(records))
        self._doubt.settled(doubtful, of=len(records))
        self._metrics.held_back.set(0)
        originals = {record.offset: record for record in records}
        return rejected + [Rejected(originals[each.record.offset], each.reason) for each in doubtful]

    def _refusal(self, records: Sequence[Record], name: str) -> str | None:
        """Why the store refuses these; None where it has them."""
        events = records[0].topic == Topic.EVENTS
        began = time.monotonic()
        try:
            (self._store.insert_events if events else self._store.insert_spans)(records, token=name)
        except BadPayload as fault:
            return str(fault)
        self._metrics.insert_seconds.observe(time.monotonic() - began)
        return None

    def _refused(self, records: Sequence[Record]) -> Iterator[Rejected]:
        """Those that are refused although they read well: halve until each is alone."""
        refusal = self._refusal(records, f"{token(records)}:again") if records else None
        if refusal and len(records) == 1:
            yield Rejected(records[0], refusal)
        elif refusal:
            middle = len(records) // 2
            yield from self._refused(records[:middle])
            yield from self._refused(records[middle:])

    def _weigh(self, doubtful: Sequence[Rejected], *, of: int) -> None:
        try:
            self._doubt.weigh(doubtful, of=of)
        except TooManyRejected:
            self._metrics.held_back.set(1)
            raise

    def _bury(self, rejected: Sequence[Rejected]) -> None:
        buried = [
            self._log.append(
                Topic.DEAD_LETTERS,
                each.record.value,
                key=each.record.key,
                headers={
                    **each.record.headers,
                    REASON_HEADER: each.reason.encode()[:1000],
                    SOURCE_HEADER: place(each.record).encode(),
                },
            )
            for each in rejected
        ]
        for each, appended in zip(rejected, buried, strict=True):
            try:
                letter = appended.result()
            except LogFull as full:  # it is full until this very batch has gone: to wait would be to wait for ever
                log.error("lost %s, there is no room to bury it: %s; %s", place(each.record), each.reason, full)
                self._announce(each, "")
                continue
            self._metrics.buried.inc()
            log.error("buried %s: %s", place(each.record), each.reason[:1000])
            self._announce(each, f"{letter.at.topic}:{letter.at.partition}:{letter.offset}")

    def _announce(self, rejected: Rejected, dead_letter: str) -> None:
        events = announcements(rejected, dead_letter=dead_letter)
        for appended in [self._log.append(Topic.EVENTS, event) for event in events]:
            try:
                appended.result()
            except LogFull as full:
                log.error("no room to announce that %s was rejected: %s", place(rejected.record), full)

    def _note(self, batch: Batch) -> None:
        metrics = self._metrics
        metrics.stored.labels(batch.at.topic).inc(len(batch.records))
        metrics.batch_bytes.observe(batch.size)
        metrics.age_seconds.observe(max(0.0, (self._clock_ns() - batch.records[0].timestamp_ns) / 1e9))
        end = self._log.end_offsets([batch.at.topic]).get(batch.at, batch.last + 1)
        metrics.lag.labels(batch.at.topic).set(max(0, end - batch.last - 1))


def _read(record: Record) -> Reading:
    if record.topic != Topic.EVENTS:
        return read_again(record)
    fault = event_fault(record.value)
    return Reading(None, Rejected(record, fault)) if fault else Reading(record, None)
