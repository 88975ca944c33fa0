"""What the watcher reads of a call, and what the store keeps of it, are the same, whatever dialect it came in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from forewarn import conventions as names
from forewarn.conventions import Effect, EffectSource, Stamp, Topic
from forewarn_alerts.record import CallRecord, Interest, read_calls
from forewarn_collector.dialects.columns import TEXT_COLUMNS, VALUE_COLUMNS
from forewarn_collector.dialects.table import dialects
from forewarn_collector.log.interface import Record
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.decoding import attribute_value
from forewarn_collector.tools.tool_list import Entry, ToolList

START_NS = 1_790_000_000_000_000_000
TOOLS = ToolList(
    (
        Entry(tools=("drop_*",), effect=Effect.DESTRUCTIVE),
        Entry(tools=("r*",), effect=Effect.READ, services=("jani*",), environments=("production",)),
    )
)
SAME = ("tool", "effect", "effect_source", "call_id", "agent", "digest", "outcome", "error_type", "reasoning")
"""Columns whose text is the field of that name."""

words = st.sampled_from(["drop_table", "read", "r", "", "\u00fc'\\\n", "customers"])
texts = words.map(lambda word: AnyValue(string_value=word))
maps = st.dictionaries(words, texts, max_size=2).map(
    lambda found: AnyValue(
        kvlist_value=KeyValueList(values=[KeyValue(key=name, value=value) for name, value in found.items()])
    )
)
values = texts | texts | maps | st.integers(-5, 5).map(lambda number: AnyValue(int_value=number))
conventional = st.sampled_from([*TEXT_COLUMNS.values(), *VALUE_COLUMNS.values()])


class Everything:
    """Rules that want to see every call."""

    def interest(self, environment: str, claimed: str) -> Interest:
        return Interest(starts=frozenset(Effect), ends=frozenset(Effect))


@st.composite
def said(draw: st.DrawFn) -> dict[str, AnyValue]:
    found = draw(st.dictionaries(conventional, values, max_size=4))
    dialect = draw(st.sampled_from(dialects()))
    if dialect.aliases:
        found |= draw(st.dictionaries(st.sampled_from([alias.name for alias in dialect.aliases]), values, max_size=5))
    if dialect.telltales:
        found[draw(st.sampled_from(dialect.telltales))] = AnyValue(string_value="00f067aa0ba902b7")
    if dialect.kind:
        found[dialect.kind] = AnyValue(string_value=draw(st.sampled_from([*dialect.operations])))
    if draw(st.booleans()):
        found[names.EFFECT] = AnyValue(string_value=draw(st.sampled_from([*Effect])))
        found[names.EFFECT_SOURCE] = AnyValue(string_value=draw(st.sampled_from([*EffectSource])))
    else:
        found.pop(names.EFFECT, None)
    if draw(st.booleans()):
        found[names.OPERATION_NAME] = AnyValue(string_value=names.OPERATION_EXECUTE_TOOL)
    return found


spans = st.builds(
    Span,
    name=words | words.map(lambda word: f"execute_tool {word}") | st.just("claude_code.tool"),
    parent_span_id=st.just(b"parentid"),
    start_time_unix_nano=st.just(START_NS),
    end_time_unix_nano=st.sampled_from([0, START_NS, START_NS + 5_000_000]),
    attributes=said().map(lambda found: [KeyValue(key=name, value=value) for name, value in found.items()]),
)


@pytest.fixture(scope="module")
def store(store_home: Any) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(store_home, database="test_both_roads", tools=TOOLS)
    store.migrate()
    yield store
    store.query("DROP DATABASE test_both_roads SYNC")
    store.close()


def read_back(text: str) -> Any:
    """The arguments that a column stands for, as the watcher writes them."""
    value = attribute_value(text)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# A failing example is not made smaller: each one is an insert, and its assertion names the field.
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(sent=st.lists(spans, min_size=10, max_size=40), service=st.sampled_from(["janitor", "other"]))
def test_both_read_the_same_calls(store: EmbeddedStore, sent: list[Span], service: str) -> None:
    """
    A rule judges what the store shows: each call, and each of its fields.
    """
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
    scope = group.scope_spans.add()
    for number, span in enumerate(sent, 1):
        scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big")).MergeFrom(span)
    stamps = {Stamp.ENVIRONMENT: b"production", Stamp.KEY_ID: b"k", Stamp.RECEIVED_AT: str(START_NS).encode()}
    record = Record(Topic.SPANS, 0, 0, request.SerializeToString(), headers=stamps, timestamp_ns=START_NS)
    store.query("TRUNCATE TABLE spans")

    calls = [call for call in read_calls(record, Everything(), TOOLS) if isinstance(call, CallRecord)]
    store._unfold_spans([record], "")

    rows = list(
        store.query("SELECT *, toUnixTimestamp64Nano(ts) AS started FROM spans WHERE operation = 'execute_tool'")
    )
    assert {bytes.fromhex(call.trace_id) for call in calls} == {row["trace_id"] for row in rows}
    of = {row["trace_id"]: row for row in rows}
    for call in calls:
        row = of[bytes.fromhex(call.trace_id)]
        assert {name: getattr(call, name) for name in SAME} == {name: row[name] for name in SAME}
        assert (call.kind, bytes.fromhex(call.span_id)) == (row["record"], row["span_id"])
        assert (call.arguments, call.agent_path) == (read_back(row["arguments"]), row["agent_path"] or row["agent"])
        assert (call.started_ns, call.ended_ns) == (row["started"], row["version"])
        assert (call.service, call.environment, call.key_id) == (row["service"], row["environment"], row["key_id"])
