"""The engine's own decoding of OTLP and decoding in Python give the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from forewarn import conventions as names
from forewarn.conventions import Effect, EffectSource, Stamp
from forewarn_collector.dialects.columns import (
    NUMBER_COLUMNS,
    RESOURCE_COLUMNS,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    VALUE_COLUMNS,
)
from forewarn_collector.dialects.table import dialects
from forewarn_collector.log.interface import Record
from forewarn_collector.store import row_binary
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.decoding import attribute_text, attribute_value, request_fault, span_rows
from forewarn_collector.store.framing import frames
from forewarn_collector.tools.tool_list import Entry, ToolList

_TIMES = ("ts", "received_at", "tool_started_at", "acknowledged_at")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "otlp:array;base64,x", "ü\0'\\\n"]
)
int64s = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([-(1 << 63), (1 << 63) - 1, 0])
uint64s = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
leaves = st.one_of(
    st.builds(AnyValue),
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=int64s),
    st.builds(AnyValue, double_value=st.floats()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
)


def _nested(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    arrays = st.builds(ArrayValue, values=st.lists(inner, max_size=3))
    lists = st.builds(KeyValueList, values=st.lists(st.builds(KeyValue, key=texts, value=inner), max_size=3))
    return st.builds(AnyValue, array_value=arrays) | st.builds(AnyValue, kvlist_value=lists)


values = st.recursive(leaves, _nested, max_leaves=4)
_COLUMNS = (TEXT_COLUMNS, VALUE_COLUMNS, NUMBER_COLUMNS, TIME_COLUMNS)
lifted = sorted({names.RECORD, *(name for columns in _COLUMNS for name in columns.values())})
told = sorted({*RESOURCE_COLUMNS.values(), names.DEPLOYMENT_ENVIRONMENT, names.DEPLOYMENT_ENVIRONMENT_NAME})


TOOLS = ToolList(
    (
        Entry(tools=("drop_*", "a?b"), effect=Effect.DESTRUCTIVE),
        Entry(tools=("ü*",), effect=Effect.WRITE, services=("jani*",), environments=("production",)),
        Entry(tools=("list", "."), effect=Effect.READ),
    )
)
tool_names = texts | st.sampled_from(["drop_table", "drop_", "axb", "aüb", "axxb", "übel", "list", "."])


def attributes(known: list[str]) -> st.SearchStrategy[list[KeyValue]]:
    pairs = st.dictionaries(st.sampled_from(known) | texts, values, max_size=6)
    return pairs.map(lambda found: [KeyValue(key=name, value=value) for name, value in found.items()])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["parts", "type"]), inner, max_size=2),
    max_leaves=4,
)
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["thinking", "reasoning", "text"]) | json_values},
    optional={"content": texts | json_values},
)
messages = st.fixed_dictionaries({"role": st.just("assistant"), "parts": st.lists(parts | json_values) | json_values})
documents = st.lists(messages | json_values, max_size=3) | json_values


def _part(number: int, kind: AnyValue, content: AnyValue) -> list[KeyValue]:
    name = f"llm.output_messages.0.message.contents.{number}.message_content"
    return [KeyValue(key=f"{name}.type", value=kind), KeyValue(key=f"{name}.text", value=content)]


in_messages = st.builds(json.dumps, documents).map(
    lambda text: [KeyValue(key="gen_ai.output.messages", value=AnyValue(string_value=text))]
)
in_attributes = st.lists(
    st.tuples(st.sampled_from([AnyValue(string_value="reasoning"), AnyValue(string_value="text")]) | values, values),
    max_size=3,
).map(lambda pairs: [pair for number, each in enumerate(pairs) for pair in _part(number, *each)])
thoughts = in_messages | in_attributes | attributes(["gen_ai.output.messages"])
"""What a model thought, in every shape in which it may be told, and in some in which it may not."""


@st.composite
def spoken(draw: st.DrawFn) -> list[KeyValue]:
    """Attributes as one dialect, or two at once, have them: signs, words, names, and some of the conventions'."""
    found = draw(attributes(lifted))
    for dialect in draw(st.lists(st.sampled_from(dialects()), max_size=2, unique_by=lambda each: each.name)):
        known = [alias.name for alias in dialect.aliases] or ["k"]
        found += draw(attributes(known))
        if dialect.telltales:
            found.append(KeyValue(key=draw(st.sampled_from(dialect.telltales)), value=draw(values)))
        if dialect.kind:
            word = draw(st.sampled_from([*dialect.operations, "other"]))
            found.append(KeyValue(key=dialect.kind, value=AnyValue(string_value=word)))
        if dialect.pending_parent:
            parent = draw(
                st.sampled_from(["00f067aa0ba902b7", "0" * 16, "00F067AA0BA902B7", "0" * 15, "0" * 16 + "\n", "é" * 8])
            )
            found.append(KeyValue(key=dialect.pending_parent, value=AnyValue(string_value=parent)))
    found += draw(st.lists(thoughts, max_size=1).map(lambda pairs: pairs[0] if pairs else []))
    for name, choices in {
        names.OPERATION_NAME: st.sampled_from(["execute_tool", "chat", ""]),
        names.TOOL_NAME: tool_names,
        names.EFFECT: st.sampled_from([*Effect, "", "other"]),
        names.EFFECT_SOURCE: st.sampled_from([*EffectSource, ""]),
    }.items():
        if draw(st.booleans()):
            found.append(KeyValue(key=name, value=AnyValue(string_value=draw(choices))))
    return list({pair.key: pair for pair in found}.values())


ids = st.binary(min_size=16, max_size=16) | st.binary(max_size=20)
# One day, so that a generated batch is one part and not hundreds of partitions.
starts = st.integers(1_790_000_000_000_000_000, 1_790_030_000_000_000_000) | st.sampled_from(
    [0, (1 << 63) - 1, (1 << 64) - 1]
)
spans = st.builds(
    Span,
    trace_id=ids,
    span_id=ids,
    parent_span_id=ids,
    trace_state=texts,
    name=texts
    | tool_names.map(lambda name: f"execute_tool {name}")
    | st.sampled_from(["execute_tool ", "claude_code.tool", "claude_code.llm_request", "claude_code.tool.execution"]),
    kind=st.integers(0, 5) | st.sampled_from([-1, 6, (1 << 31) - 1, -(1 << 31)]),
    start_time_unix_nano=starts,
    end_time_unix_nano=uint64s,
    attributes=spoken(),
    events=st.lists(
        st.builds(Span.Event, time_unix_nano=uint64s, name=texts, attributes=attributes(["k"])), max_size=2
    ),
    links=st.lists(
        st.builds(Span.Link, trace_id=ids, span_id=ids, trace_state=texts, attributes=attributes(["k"])), max_size=2
    ),
    status=st.builds(Status, message=texts, code=st.integers(0, 2) | st.sampled_from([-1, 3, -(1 << 31)])),
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_spans = request.resource_spans.add()
        if draw(st.booleans()):
            resource_spans.resource.attributes.extend(draw(attributes(told)))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans = resource_spans.scope_spans.add()
            if draw(st.booleans()):
                scope_spans.scope.name = draw(texts | st.just("forewarn"))
                scope_spans.scope.version = draw(texts)
            scope_spans.spans.extend(draw(st.lists(spans, max_size=3)))
    return request


headers = st.fixed_dictionaries(
    {},
    optional={
        Stamp.ENVIRONMENT.value: texts.map(str.encode),
        Stamp.KEY_ID.value: texts.map(str.encode),
        Stamp.RECEIVED_AT.value: uint64s.map(lambda number: str(number).encode()) | st.just(b"soon"),
    },
)


@pytest.fixture(scope="module")
def arrived(store_home: Any) -> Any:
    """The rows that an insert leaves behind, every one as it arrives."""
    store = EmbeddedStore(store_home, database="test_decoding", tools=TOOLS)
    store.migrate()
    store.query("DROP VIEW keep_spans")
    store.query("CREATE TABLE unfolded AS spans ENGINE = Memory")
    store.query("CREATE MATERIALIZED VIEW keep_unfolded TO unfolded AS SELECT * FROM arriving_spans")
    instants = ", ".join(f"toUnixTimestamp64Nano({name}) AS {name}" for name in _TIMES)

    def rows(insert: str, records: list[Record]) -> list[dict[str, Any]]:
        store.query("TRUNCATE TABLE unfolded")
        by_engine = insert == "by the engine"
        store._unfold_spans(records, "") if by_engine else store.insert_spans(records, token="")
        return list(store.query(f"SELECT * REPLACE({instants}) FROM unfolded SETTINGS final = 0"))

    yield rows
    store.query("DROP DATABASE test_decoding SYNC")
    store.close()


def _key(row: dict[str, Any]) -> str:
    """JSON may be escaped in more than one way, attributes be in any order; everything else is compared as it is."""
    parsed = {column: json.loads(row[column] or "[]") for column in ("events", "links")}
    return repr(sorted((row | parsed | {"attributes": sorted(row["attributes"].items())}).items()))


@pytest.mark.parametrize("decoded", ["by the engine", "here"])
@settings(max_examples=30, deadline=timedelta(seconds=20), suppress_health_check=list(HealthCheck))
@given(sent=st.lists(st.tuples(requests(), headers), min_size=1, max_size=4))
def test_both_ways_give_the_same_rows(
    arrived: Any, decoded: str, sent: list[tuple[ExportTraceServiceRequest, dict[str, bytes]]]
) -> None:
    """
    Whatever a request holds, the rows in the engine are the ones that Python makes of it, whoever decoded them.
    """
    records = [
        Record("t", 0, offset, request.SerializeToString(), headers=stamped, timestamp_ns=5)
        for offset, (request, stamped) in enumerate(sent)
    ]

    rows = arrived(decoded, records)

    assert sorted(map(_key, rows)) == sorted(map(_key, span_rows(records, TOOLS)))


def test_small_batches_name_every_column(arrived: Any, otlp: Any) -> None:
    """
    The rows that are written here have the columns of the table, no more and no fewer.
    """
    (row,) = arrived("by the engine", [otlp.record(otlp.span(1))])

    assert set(row_binary.COLUMNS) == set(row)


def test_where_python_is_not_sure_the_engine_decides(arrived: Any, otlp: Any) -> None:
    """
    A name that comes twice, and a text that is not UTF-8, are left to the engine in small batches too.
    """
    span = otlp.span(1, attributes={"gen_ai.tool.name": "drop_table"})
    span.attributes.append(KeyValue(key="gen_ai.tool.name", value=AnyValue(string_value="innocent")))
    twice = otlp.record(span)
    broken = replace(twice, value=otlp.request(otlp.span(1, name="NAME")).replace(b"NAME", b"\xff\xfe\xfd\xfc"))

    assert row_binary.rows_of([twice], TOOLS) is None
    assert row_binary.rows_of([broken], TOOLS) is None
    assert [row["tool"] for row in arrived("here", [twice])] == ["drop_table"]
    assert len(arrived("here", [broken])) == 1


@given(values)
def test_a_text_reads_back_as_the_value(value: AnyValue) -> None:
    """
    Values without a text of their own survive the store whole.
    """
    read = attribute_value(attribute_text(value))

    kind = value.WhichOneof("value")
    if kind == "array_value":
        assert len(read) == len(value.array_value.values)
    elif kind == "kvlist_value":
        assert set(read) == {pair.key for pair in value.kvlist_value.values}
    elif kind in ("string_value", "bytes_value"):
        assert read == getattr(value, kind)
    else:
        assert read == attribute_text(value)


def test_nested_values_read_back_as_python_has_them() -> None:
    """
    Lists and mappings come back as such, to any depth.
    """
    pair = KeyValue(
        key="deep", value=AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="n", value=AnyValue(int_value=1))]))
    )
    value = AnyValue(
        array_value=ArrayValue(values=[AnyValue(string_value="a"), AnyValue(kvlist_value=KeyValueList(values=[pair]))])
    )

    assert attribute_value(attribute_text(value)) == ["a", {"deep": {"n": 1}}]


@given(st.binary(max_size=40))
def test_only_requests_pass(value: bytes) -> None:
    """
    Any bytes are either read as a request or said to be none; nothing else is raised.
    """
    fault = request_fault(value)

    assert fault is None or "not an OTLP trace request" in fault


def test_a_frame_begins_with_our_stamp() -> None:
    """
    The stamp stands before the sender's bytes, which are carried unchanged.
    """
    record = Record("t", 0, 0, b"\x0a\x00", headers={Stamp.ENVIRONMENT: b"test"}, timestamp_ns=1)

    assert b"".join(frames([record])) == b"\x16\xc2\x3e\x11\x0a\x04test\x12\x00\x19\x01" + b"\0" * 7 + b"\x0a\x00"


def test_pieces_are_the_whole_body_in_order() -> None:
    """
    Small requests travel together, large ones alone; nothing is lost or moved between them.
    """
    sizes = [0, 10, 70_000, 1, 2, 900_000, 60_000, 60_000] + [50_000] * 30 + [3]
    records = [Record("t", 0, offset, bytes([offset]) * size) for offset, size in enumerate(sizes)]

    pieces = list(frames(records))

    assert b"".join(pieces) == b"".join(b"".join(frames([record])) for record in records)
    assert len(pieces) < len(records)
    assert any(piece is records[5].value for piece in pieces)
