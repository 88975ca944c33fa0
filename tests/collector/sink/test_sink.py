"""The road from log to store: nothing is lost, nothing is counted twice, wherever it breaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from forewarn.conventions import Stamp, Topic
from forewarn_collector.log.interface import Appended, Committed, LogFull, Record, TopicPartition
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.log.sqlite import SqliteLog
from forewarn_collector.refusals import BadShare, TooManyRejected
from forewarn_collector.sink import GROUP, REASON_HEADER, SOURCE_HEADER, TOPICS, Pace, Sink
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.interface import BadPayload, Rows, StoreUnavailable

SPANS = TopicPartition(Topic.SPANS, 0)
BROKEN = b"\x0a\xff\xff\xff\x7fno"
UNACCEPTABLE = b"\x0a\x03\x1a\x01x"
"""A sound request."""
WRONG = b"\x08\x01"
"""A known field of the wrong wire type: read over by protobuf, refused by the engine."""


class Crash(Exception):
    """The process dies here."""


@dataclass
class FakeStore:
    """Keeps tokens and offsets; fails where it is told to."""

    tokens: list[str] = field(default_factory=list)
    offsets: list[tuple[str, int]] = field(default_factory=list)
    before: Callable[[str], None] = lambda token: None
    after: Callable[[str], None] = lambda token: None

    def migrate(self) -> None: ...

    def insert_spans(self, records: Sequence[Record], *, token: str) -> None:
        self.before(token)
        if any(record.value in (BROKEN, UNACCEPTABLE) or record.value.endswith(WRONG) for record in records):
            raise BadPayload("no")
        if token not in self.tokens:
            self.tokens.append(token)
            self.offsets += [(record.topic, record.offset) for record in records]
        self.after(token)

    insert_events = insert_spans

    def query(self, sql_or_name: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        raise NotImplementedError

    def close(self) -> None: ...


def fill(log: MemoryLog, topic: str, values: Sequence[bytes]) -> None:
    for value in values:
        log.append(topic, value).result()


def dead_letters(log: MemoryLog) -> list[Record]:
    return log.consumer("test", [Topic.DEAD_LETTERS]).poll()


def committed(log: MemoryLog) -> Committed | None:
    return log.consumer(GROUP, TOPICS).committed(SPANS)


def raising(fault: Exception, *, times: int = 1) -> Callable[[str], None]:
    left = [fault] * times

    def hook(token: str) -> None:
        if left:
            raise left.pop()

    return hook


def test_a_poll_becomes_one_insert_per_topic_named_by_its_offsets() -> None:
    """
    What waits is stored at once, start records first, and then committed.
    """
    log, store = MemoryLog(), FakeStore()
    fill(log, Topic.SPANS, [b"", b"", b""])
    fill(log, Topic.STARTS, [b""])
    fill(log, Topic.EVENTS, [b"{}"])
    sink = Sink(log, store)

    moved = [sink.step() for _ in range(4)]

    assert sum(moved) == 5
    assert moved[-1] == 0
    assert sorted(store.tokens) == ["forewarn_events:0:0-0", "otlp_spans.starts:0:0-0", "otlp_spans:0:0-2"]
    assert store.tokens[0] == "otlp_spans.starts:0:0-0"
    assert committed(log) == Committed(3)


def test_an_insert_that_was_not_committed_is_repeated_under_its_token() -> None:
    """
    A crash between insert and commit leads to the same batch again, whatever has arrived since.
    """
    log, store = MemoryLog(), FakeStore(after=raising(Crash()))
    fill(log, Topic.SPANS, [b"", b""])
    with pytest.raises(Crash):
        Sink(log, store).step()
    fill(log, Topic.SPANS, [b""])

    Sink(log, store).step()

    assert store.tokens == ["otlp_spans:0:0-1", "otlp_spans:0:2-2"]
    assert committed(log) == Committed(3)


def test_an_intent_is_kept_although_nothing_was_inserted() -> None:
    """
    A crash right after the intent leads to the batch that it names.
    """
    log, store = MemoryLog(), FakeStore(before=raising(Crash()))
    fill(log, Topic.SPANS, [b"", b""])
    with pytest.raises(Crash):
        Sink(log, store).step()
    assert committed(log) == Committed(0, "intent:1")
    fill(log, Topic.SPANS, [b""] * 5)

    Sink(log, store).step()

    assert store.tokens == ["otlp_spans:0:0-1", "otlp_spans:0:2-6"]


def test_an_intent_waits_for_all_its_records() -> None:
    """
    A poll that returns less than the intent names is not inserted before the rest is there.
    """
    log, store = MemoryLog(), FakeStore(before=raising(Crash()))
    fill(log, Topic.SPANS, [b"x" * 10] * 4)
    with pytest.raises(Crash):
        Sink(log, store).step()

    sink = Sink(log, store, pace=Pace(max_records=2))
    steps = [sink.step(), sink.step()]

    assert steps == [0, 4]
    assert store.tokens == ["otlp_spans:0:0-3"]


def test_a_store_that_is_away_keeps_the_offsets() -> None:
    """
    While the store cannot be reached nothing is committed and the same batch is tried again.
    """
    log, store = MemoryLog(), FakeStore(before=raising(StoreUnavailable("away"), times=2))
    fill(log, Topic.SPANS, [b""])
    sink = Sink(log, store)

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            sink.step()
    assert committed(log) == Committed(0, "intent:0")
    fill(log, Topic.SPANS, [b""])

    assert sink.step() == 1
    assert sink.step() == 1
    assert store.tokens == ["otlp_spans:0:0-0", "otlp_spans:0:1-1"]


@pytest.mark.parametrize("bad", [BROKEN, UNACCEPTABLE, WRONG])
def test_one_bad_record_does_not_stop_the_road(bad: bytes) -> None:
    """
    A record that nobody can store is buried with its reason; its neighbours still arrive.
    """
    value = b"\x0a\x00"
    log, store = MemoryLog(), FakeStore()
    fill(log, Topic.SPANS, [value] * 3)
    log.append(Topic.SPANS, bad, headers={Stamp.KEY_ID: b"k"}).result()
    fill(log, Topic.SPANS, [value] * 3)

    moved = Sink(log, store).step()

    assert moved == 7
    assert sorted(offset for _, offset in store.offsets) == [0, 1, 2, 4, 5, 6]
    assert committed(log) == Committed(7)
    (letter,) = dead_letters(log)
    assert letter.value == bad
    assert letter.headers[SOURCE_HEADER] == b"otlp_spans:0:3"
    assert letter.headers[REASON_HEADER]
    assert letter.headers[Stamp.KEY_ID] == b"k"


def test_what_can_be_understood_of_a_bad_record_is_stored(store: EmbeddedStore, otlp: Any) -> None:
    """
    Good spans beside a field that the engine refuses arrive; the record as it came is buried.
    """
    log = MemoryLog()
    many = [otlp.request(*(otlp.span(number) for number in range(first, first + 100))) for first in range(1, 900, 100)]
    fill(log, Topic.SPANS, [*many, otlp.request(otlp.span(1000)) + WRONG, WRONG])

    moved = Sink(log, store).step()

    assert moved == len(many) + 2
    assert store.query("SELECT count(), max(span_id) = unhex('00000000000003E8') FROM spans").rows == ((901, 1),)
    letters = dead_letters(log)
    assert [letter.value[-2:] for letter in letters] == [WRONG, WRONG]
    assert b"resource_spans has the wrong wire type" in letters[0].headers[REASON_HEADER]


def test_no_number_of_bad_records_stops_the_road(tmp_path: Path, store: EmbeddedStore, otlp: Any) -> None:
    """
    A sink that died at a batch of junk gets past it after a restart on the same log, and stores what came between.
    """
    log = SqliteLog(tmp_path / "log.sqlite3")
    for number in range(400):
        log.append(Topic.SPANS, WRONG).result(10)
        if number % 2:
            log.append(Topic.SPANS, otlp.request(otlp.span(number, attributes={"filler": "x" * 400}))).result(10)
    with pytest.raises(Crash):
        Sink(log, FakeStore(before=raising(Crash()))).step()
    log.close()
    log = SqliteLog(tmp_path / "log.sqlite3")
    registry = CollectorRegistry()

    sink = Sink(log, store, registry=registry)
    moved = sink.step()

    assert moved == 600
    assert store.query("SELECT count() FROM spans").rows == ((200,),)
    assert registry.get_sample_value("forewarn_sink_rejected_records_total") == 400
    assert registry.get_sample_value("forewarn_sink_held_back") == 0
    sink.close()
    log.close()


def test_a_store_that_refuses_what_reads_well_is_doubted_for_a_while() -> None:
    """
    The batch is held back as often as it may be, with nothing buried; then it is buried, and the road goes on.
    """
    log, store, registry = MemoryLog(), FakeStore(), CollectorRegistry()
    fill(log, Topic.SPANS, [UNACCEPTABLE] * 9)
    sink = Sink(log, store, bad_share=BadShare(share=0.1, least=4, tries=2), registry=registry)

    for attempt in (1, 2):
        with pytest.raises(TooManyRejected, match=rf"5 of the latest 9 .* {attempt} of 2 times"):
            sink.step()
        assert registry.get_sample_value("forewarn_sink_held_back") == 1
    buried = len(dead_letters(log))
    moved = sink.step()

    assert (buried, moved, len(dead_letters(log))) == (0, 9, 9)
    assert committed(log) == Committed(9)
    assert registry.get_sample_value("forewarn_sink_held_back") == 0


def test_a_store_that_comes_to_its_senses_loses_nothing() -> None:
    """
    What was held back while the store refused everything is stored once it does not.
    """
    log, store = MemoryLog(), FakeStore(before=raising(BadPayload("the view is wrong"), times=30))
    fill(log, Topic.SPANS, [b"\x0a\x00"] * 40)
    sink = Sink(log, store, bad_share=BadShare(least=4))

    with pytest.raises(TooManyRejected):
        sink.step()
    store.before = lambda token: None
    sink.step()

    assert [offset for _, offset in store.offsets] == list(range(40))
    assert dead_letters(log) == []


def test_a_few_bad_records_in_many_are_buried_for_ever() -> None:
    """
    The bound is a share of the latest records, not a total.
    """
    log, store = MemoryLog(), FakeStore()
    sink = Sink(log, store, bad_share=BadShare(share=0.1, least=2, window=50))

    for _ in range(10):
        fill(log, Topic.SPANS, [b""] * 19 + [UNACCEPTABLE])
        sink.step()

    assert len(dead_letters(log)) == 10


def test_a_log_without_room_for_dead_letters_is_no_end() -> None:
    """
    The room comes back when the batch has gone: what cannot be buried is told, and the road goes on.
    """

    class Full(MemoryLog):
        def append(self, topic: str, *args: Any, **kwargs: Any) -> Any:
            if topic != Topic.DEAD_LETTERS:
                return super().append(topic, *args, **kwargs)
            refused: Future[Appended] = Future()
            refused.set_exception(LogFull("no room"))
            return refused

    log, store = Full(), FakeStore()
    fill(log, Topic.SPANS, [BROKEN, b""])

    Sink(log, store).step()

    assert committed(log) == Committed(2)


def test_the_road_runs_until_it_is_stopped() -> None:
    """
    Running, it waits for records, survives an absent store and ends when told.
    """
    log, store, stop, stored = MemoryLog(), FakeStore(), threading.Event(), threading.Event()
    store.before = raising(StoreUnavailable("away"))
    store.after = lambda token: stored.set()
    registry = CollectorRegistry()
    sink = Sink(log, store, pace=Pace(poll_s=0.01, pause_s=0.01, first_retry_s=0.01), registry=registry)
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()

    fill(log, Topic.SPANS, [b""])
    arrived = stored.wait(10)
    stop.set()
    thread.join(10)

    assert arrived
    assert not thread.is_alive()
    assert registry.get_sample_value("forewarn_sink_retries_total") == 1
    assert registry.get_sample_value("forewarn_sink_records_total", {"topic": "otlp_spans"}) == 1


@settings(max_examples=8, deadline=timedelta(seconds=20), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_replaying_any_suffix_changes_no_count(replayed: Any, data: st.DataObject) -> None:
    """
    The group may go back to any offset, and batches may be cut anywhere: every count stays as it was.
    """
    store, log, counts = replayed
    end = log.end_offsets([Topic.SPANS, Topic.STARTS])
    consumer = log.consumer(GROUP, TOPICS)
    consumer.commit({at: Committed(data.draw(st.integers(0, offset))) for at, offset in end.items()})

    sink = Sink(log, store, pace=Pace(max_records=data.draw(st.integers(1, 12))))
    while sink.step():
        pass

    assert counts() == {"spans": 30, "calls": 30, "starts": 10, "trace_times": 3, "events": 2}


@pytest.fixture
def replayed(store: EmbeddedStore, otlp: Any) -> Any:
    """A log that was stored once: 30 calls of 3 traces, 20 of them ended, and 2 events; starts in their own lane."""
    log = MemoryLog()
    for number in range(30):
        trace = number % 3 + 1
        log.append(Topic.STARTS, otlp.request(otlp.span(number, trace=trace, ended=False))).result()
        if number < 20:
            log.append(Topic.SPANS, otlp.request(otlp.span(number, trace=trace))).result()
    for number in range(2):
        event = {"id": f"e{number}", "kind": "incident.opened", "time_unix_nano": otlp.start_ns}
        log.append(Topic.EVENTS, orjson.dumps(event)).result()
    sink = Sink(log, store)
    while sink.step():
        pass

    def counts() -> dict[str, int]:
        found = {
            table: store.query(f"SELECT count() FROM {table}").rows[0][0]
            for table in ("spans", "calls", "trace_times", "events")
        }
        return found | {"starts": store.query("SELECT countIf(record = 'start') FROM calls").rows[0][0]}

    return store, log, counts
