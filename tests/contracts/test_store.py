"""What every store promises; each side of the seam passes the same tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from forewarn.conventions import Stamp, Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.store.interface import BadPayload, BadQuery, Store, StoreUnavailable


def counts(store: Store) -> dict[str, int]:
    return {
        table: store.query(f"SELECT count() FROM {table}").rows[0][0]
        for table in ("spans", "calls", "trace_times", "events")
    }


def event(**fields: Any) -> Record:
    body = {"id": "e1", "kind": "incident.opened", "time_unix_nano": 1_790_000_000_000_000_001, "trace_id": "01" * 16}
    return Record(Topic.EVENTS, 0, 0, orjson.dumps(body | fields))


def test_a_span_becomes_one_row_with_its_attributes_in_columns(store: Store, otlp: Any) -> None:
    """
    What people ask about has a column, the rest is in the Map, and nothing is in both.
    """
    said = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "drop_table",
        "gen_ai.tool.call.arguments": '{"name":"customers"}',
        "forewarn.effect": "destructive",
        "forewarn.agent.path": "janitor > cleaner",
        "forewarn.sequence": 7,
        "forewarn.acknowledged_unix_nano": 1_790_000_000_000_000_123,
        "own.attribute": "kept",
    }

    store.insert_spans([otlp.record(otlp.span(1, attributes=said))], token="t")

    (row,) = store.query("SELECT *, toUnixTimestamp64Nano(acknowledged_at) AS acknowledged_ns FROM spans")
    expected = {
        "record": "end",
        "duration_ns": 500_000,
        "operation": "execute_tool",
        "tool": "drop_table",
        "arguments": '{"name":"customers"}',
        "effect": "destructive",
        "agent_path": "janitor > cleaner",
        "sequence": 7,
        "acknowledged_ns": 1_790_000_000_000_000_123,
        "attributes": {"own.attribute": "kept"},
        "resource": {},
        "service": "janitor",
        "sender": "one",
        "environment": "production",
        "key_id": "production_1",
        "kind": "Internal",
        "scope": "forewarn",
    }
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("start_first", [True, False])
def test_the_end_replaces_the_start_in_either_order(store: Store, otlp: Any, start_first: bool) -> None:
    """
    Start and end of one span are one row, that of the end, whichever the lanes deliver first.
    """
    start, end = otlp.record(otlp.span(1, ended=False)), otlp.record(otlp.span(1))
    first, second = (start, end) if start_first else (end, start)

    store.insert_spans([first], token="1")
    store.insert_spans([second], token="2")

    assert store.query("SELECT record, duration_ns FROM spans").rows == (("end", 500_000),)
    assert store.query("SELECT record, duration_ns FROM calls").rows == (("end", 500_000),)


@pytest.mark.parametrize("order", ["start end", "end start", "start end start end", "end start again end"])
def test_when_the_start_came_outlives_its_end(store: Store, otlp: Any, order: str) -> None:
    """
    A call's `recorded_at` is the first arrival of its start record, whatever comes later and in whichever order.
    """
    after = {"start": 0, "end": 40, "again": 70}
    for number, what in enumerate(order.split()):
        record = otlp.record(otlp.span(1, ended=what == "end"))
        received = str(otlp.start_ns + after[what]).encode()
        sent = replace(record, headers={**record.headers, Stamp.RECEIVED_AT: received})
        store.insert_spans([sent], token=str(number))

    (call,) = store.query("SELECT record, toUnixTimestamp64Nano(recorded_at) AS recorded_ns FROM calls")
    (told,) = store.query("trace", {"prefix": "0"})
    assert call == {"record": "end", "recorded_ns": otlp.start_ns}
    assert (told["record"], told["recorded_ns"]) == ("end", otlp.start_ns)


def test_an_end_alone_was_never_recorded_before(store: Store, otlp: Any) -> None:
    """
    Nothing is claimed of a start that never came.
    """
    store.insert_spans([otlp.record(otlp.span(1))], token="1")

    assert store.query("SELECT recorded_at FROM calls").rows == ((None,),)
    assert [row["recorded_ns"] for row in store.query("trace", {"prefix": "0"})] == [0]


def test_a_token_is_stored_once(store: Store, otlp: Any) -> None:
    """
    An insert that is repeated under its token changes nothing, in no table.
    """
    record = otlp.record(otlp.span(1), otlp.span(2), otlp.span(3, ended=False))
    store.insert_spans([record], token="t")
    before = counts(store)

    store.insert_spans([record], token="t")

    assert counts(store) == before == {"spans": 3, "calls": 3, "trace_times": 1, "events": 0}


def test_the_same_rows_under_another_token_are_counted_once(store: Store, otlp: Any) -> None:
    """
    A batch that was cut differently, or a request that was sent twice, changes no count.
    """
    record = otlp.record(otlp.span(1), otlp.span(2))
    store.insert_spans([record], token="0-1")
    before = counts(store)

    store.insert_spans([record, replace(record, offset=1)], token="0-2")

    assert counts(store) == before


def test_one_environment_cannot_overwrite_another(store: Store, otlp: Any) -> None:
    """
    A span id seen in production stays, whatever a key of another environment sends later.
    """
    store.insert_spans([otlp.record(otlp.span(1), environment="production")], token="1")
    store.insert_spans([otlp.record(otlp.span(1, name="innocent"), environment="development")], token="2")

    assert store.query("SELECT name FROM spans WHERE environment = 'production'").rows == (
        ("execute_tool drop_table",),
    )


def test_a_sender_cannot_stamp_itself(store: Store, otlp: Any) -> None:
    """
    Our field in a sender's own bytes is overruled, also where the gateway stamped nothing.
    """
    claim = b"\xc2\x3e\x0e\x0a\x0aproduction\x12\x00"
    stamped = otlp.record(otlp.span(1), environment="test")
    bare = otlp.record(otlp.span(2))

    store.insert_spans([replace(stamped, value=claim + stamped.value + claim)], token="1")
    store.insert_spans([replace(bare, value=claim + bare.value + claim, headers={})], token="2")

    rows = store.query("SELECT environment, key_id FROM spans ORDER BY ts").rows
    assert rows == (("test", "test_1"), ("", ""))


def test_a_foreign_span_is_stored(store: Store, otlp: Any) -> None:
    """
    A span of another instrumentation is kept whole although it has none of our attributes.
    """
    span = otlp.span(1, name="GET /", kind=2, attributes={"http.route": "/"})

    store.insert_spans([otlp.record(span, resource={"deployment.environment": "prod"})], token="t")

    (row,) = store.query("SELECT name, kind, tool, effect, environment_claimed, attributes, resource FROM spans")
    assert tuple(row.values()) == ("GET /", "Server", "", "", "prod", {"http.route": "/"}, {})


def test_odd_ids_do_not_fail_their_batch(store: Store, otlp: Any) -> None:
    """
    Ids of another length are aligned to the right; the neighbours arrive.
    """
    odd = otlp.span(1, trace_id=b"\xab\xcd", span_id=b"0123456789", parent_span_id=b"\x01")
    none = otlp.span(2, trace_id=b"", span_id=b"")

    store.insert_spans([otlp.record(odd, none, otlp.span(3))], token="t")

    rows = store.query("SELECT hex(trace_id), span_id, hex(parent_span_id) FROM spans ORDER BY ts").rows
    assert rows[0] == ("ABCD".rjust(32, "0"), b"23456789", "01".rjust(16, "0"))
    assert len(rows) == 3


def test_bytes_that_are_no_request_are_refused(store: Store, otlp: Any) -> None:
    """
    One corrupt record fails its batch with the error that says so, and the store goes on.
    """
    good, bad = otlp.record(otlp.span(1)), Record(Topic.SPANS, 0, 1, b"\x0a\xff\xff\xff\x7fno")

    with pytest.raises(BadPayload):
        store.insert_spans([good, bad], token="t")

    store.insert_spans([good], token="t")
    assert counts(store)["spans"] == 1


@pytest.mark.parametrize("neighbour_bytes", [0, 200_000])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"\x0a\xff\xff\xff\x7fno", id="cut short"),
        pytest.param(b"\x0a\x03abc", id="no message inside"),
        pytest.param(b"hello", id="text"),
    ],
)
def test_bad_bytes_are_the_senders_fault(store: Store, otlp: Any, value: bytes, neighbour_bytes: int) -> None:
    """
    Whatever is wrong with a record, it is never taken for a store that is away: that would stop the road for good.
    """
    neighbour = otlp.record(otlp.span(1, trace_state="x" * neighbour_bytes), offset=1)

    with pytest.raises(BadPayload):
        store.insert_spans([Record(Topic.SPANS, 0, 0, value), neighbour], token="t")


def test_a_value_of_two_kinds_is_never_taken_for_a_store_that_is_away(store: Store, otlp: Any) -> None:
    """
    Protobuf lets the last one count and the engine refuses it: alone such a record is stored, in a large batch refused.
    """
    odd = Record(
        Topic.SPANS,
        0,
        0,
        b"\x0a\x11\x0a\x0f\x0a\x0d\x0a\x01k\x12\x08\x0a\x01a\x0a\x01b\x18\x05" + otlp.request(otlp.span(1)),
    )
    large = otlp.record(otlp.span(2, trace_state="x" * 200_000), offset=1)

    with pytest.raises(BadPayload):
        store.insert_spans([odd, large], token="0-1")
    store.insert_spans([odd], token="0-0")
    store.insert_spans([large], token="1-1")

    assert counts(store)["spans"] == 2


@pytest.mark.parametrize("size", [0, 200_000])
def test_a_failure_behind_the_view_is_not_taken_for_success(store: Store, otlp: Any, size: int) -> None:
    """
    What a table refuses after the bytes were read is an error of the insert: an acknowledged record is never lost.
    """
    record = otlp.record(otlp.span(1, trace_state="x" * size))
    store.query("ALTER TABLE spans ADD CONSTRAINT never CHECK name != 'execute_tool drop_table'")

    with pytest.raises((BadPayload, StoreUnavailable)):
        store.insert_spans([record], token="t")

    store.query("ALTER TABLE spans DROP CONSTRAINT never")
    store.insert_spans([record], token="t")
    assert counts(store)["spans"] == 1


def test_events_are_stored_once_per_id(store: Store) -> None:
    """
    Events are announced at least once and counted once.
    """
    store.insert_events([event(), event(id="e2", kind="delivery.sent", detail={"status": 202})], token="1")
    store.insert_events([event()], token="2")

    rows = store.query("SELECT id, kind, hex(trace_id), detail FROM events ORDER BY id").rows
    assert rows == (("e1", "incident.opened", "01" * 16, "{}"), ("e2", "delivery.sent", "01" * 16, '{"status":202}'))


@pytest.mark.parametrize(
    "broken",
    [
        Record(Topic.EVENTS, 0, 0, b"{"),
        Record(Topic.EVENTS, 0, 0, b"[]"),
        event(id=""),
        event(id=7),
        event(time_unix_nano=-1),
        event(time_unix_nano="now"),
        event(trace_id="xyz"),
    ],
)
def test_a_broken_event_is_refused(store: Store, broken: Record) -> None:
    """
    What is no event is the sender's fault, and its neighbours are not stored half.
    """
    with pytest.raises(BadPayload):
        store.insert_events([event(), broken], token="t")

    assert counts(store)["events"] == 0


def test_parameters_are_values_and_never_text_of_the_query(store: Store) -> None:
    """
    A parameter cannot end its own quotes.
    """
    value = "x'; DROP TABLE spans; --\n\\"

    assert store.query("SELECT {value:String} AS value", {"value": value}).rows == ((value,),)


def test_a_wrong_question_is_said_to_be_one(store: Store) -> None:
    """
    The asker's fault is told apart from the store's.
    """
    with pytest.raises(BadQuery, match="nowhere"):
        store.query("SELECT * FROM nowhere")


def test_migrating_again_changes_nothing(store: Store, otlp: Any) -> None:
    """
    Every start migrates; rows and journal stay as they are.
    """
    store.insert_spans([otlp.record(otlp.span(1), environment=Stamp.ENVIRONMENT)], token="t")
    before = store.query("SELECT number, name FROM schema_migrations ORDER BY number").rows

    store.migrate()

    assert store.query("SELECT number, name FROM schema_migrations ORDER BY number").rows == before
    assert counts(store)["spans"] == 1


def test_a_large_batch_is_stored_once_as_well(store: Store, otlp: Any) -> None:
    """
    Megabytes in one insert, repeated under their token and then cut otherwise, are counted once.
    """
    said = {"gen_ai.tool.call.result": "x" * 20_000}
    records = [
        otlp.record(*(otlp.span(number * 100 + each, attributes=said) for each in range(30)), offset=number)
        for number in range(12)
    ]

    store.insert_spans(records, token="0-11")
    store.insert_spans(records, token="0-11")
    assert store.query("SELECT count() FROM spans SETTINGS final = 0").rows == ((360,),)
    store.insert_spans(records[:7], token="0-6")

    assert counts(store)["spans"] == 360


def test_small_and_large_batches_meet_in_one_row(store: Store, otlp: Any) -> None:
    """
    A start that came alone and its end in a large batch are one span; a repetition of either changes nothing.
    """
    start = otlp.record(otlp.span(1, ended=False))
    rest = [otlp.span(number, trace_state="x" * 2000) for number in range(2, 60)]
    large = otlp.record(otlp.span(1), *rest, offset=1)

    for number, record in enumerate([start, large, start, large]):
        store.insert_spans([record], token=str(number))

    assert counts(store) == {"spans": 59, "calls": 59, "trace_times": 1, "events": 0}
    assert store.query("SELECT record FROM calls WHERE recorded_at IS NOT NULL").rows == (("end",),)
