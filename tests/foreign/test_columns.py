"""Spans of other packages: a call gets into the columns of `spans`, and pages when the tool list says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from sqlalchemy import select

from forewarn.conventions import Effect, Stamp, Topic
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.rules.loading import load_rules
from forewarn_alerts.tables import INCIDENTS
from forewarn_alerts.watcher import Watcher, judge
from forewarn_collector.log.interface import Record
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.state.engine import open_state
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.tools.tool_list import Entry, ToolList

TOOLS = ToolList((Entry(tools=("drop_*", "Bash"), effect=Effect.DESTRUCTIVE),))
START_NS = 1_790_000_000_000_000_000
SENDERS = {
    "openinference": ("langgraph_agent", "openinference"),
    "openllmetry": ("langgraph_agent", "openllmetry"),
    "langsmith": ("langsmith_runs",),
    "logfire": ("pydantic_agent", "logfire"),
    "pydantic-ai 2": ("pydantic_agent", "2"),
    "pydantic-ai 5": ("pydantic_agent", "5"),
}
AGENTS = {"openinference": "", "langsmith": ""}
"""Who names the agent on a call's span is not here."""


def claude_code() -> bytes:
    """As its documentation describes the spans, with OTEL_LOG_TOOL_DETAILS=1."""
    call = {
        "session.id": "s-1",
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "full_command": "rm -rf data",
        "agent_id": "a1",
    }
    part = {"session.id": "s-1", "gen_ai.tool.call.id": "toolu_1", "success": True}
    asked = {"session.id": "s-1", "gen_ai.system": "anthropic", "gen_ai.request.model": "m", "model": "m"}
    asked |= {"input_tokens": 7, "output_tokens": 3}
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "com.anthropic.claude_code.tracing"
    for number, (name, said) in enumerate(
        {"claude_code.llm_request": asked, "claude_code.tool": call, "claude_code.tool.execution": part}.items(), 1
    ):
        scope.spans.append(_span(number, name, said))
    return request.SerializeToString()


def _span(number: int, name: str, said: dict[str, Any]) -> Span:
    def value(of: Any) -> AnyValue:
        if isinstance(of, bool):
            return AnyValue(bool_value=of)
        return AnyValue(int_value=of) if isinstance(of, int) else AnyValue(string_value=of)

    return Span(
        trace_id=(1).to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name=name,
        start_time_unix_nano=START_NS + number,
        end_time_unix_nano=START_NS + number + 5_000_000,
        attributes=[KeyValue(key=key, value=value(of)) for key, of in said.items()],
    )


def record(value: bytes) -> Record:
    stamps = {
        Stamp.ENVIRONMENT: b"production",
        Stamp.KEY_ID: b"production_1",
        Stamp.RECEIVED_AT: str(START_NS).encode(),
    }
    return Record(Topic.SPANS, 0, 0, value, headers=stamps, timestamp_ns=START_NS)


@pytest.fixture
def stored(store_home: Any) -> Any:
    store = EmbeddedStore(store_home, database="test_foreign", tools=TOOLS)
    store.migrate()

    def calls(value: bytes, *, by_engine: bool = True) -> list[dict[str, Any]]:
        if by_engine:
            store._unfold_spans([record(value)], "1")
        else:
            store.insert_spans([record(value)], token="1")
        return list(store.query("SELECT * FROM spans WHERE operation = 'execute_tool' ORDER BY ts"))

    calls.store = store  # type: ignore[attr-defined]
    yield calls
    store.query("DROP DATABASE test_foreign SYNC")
    store.close()


@pytest.mark.parametrize("by_engine", [True, False])
@pytest.mark.parametrize("name", SENDERS)
def test_a_call_gets_into_its_columns(stored: Any, sent: Callable[..., bytes], name: str, by_engine: bool) -> None:
    """
    Whoever sends it: tool, arguments, agent and effect stand where they do for our own SDK, and no span is there twice.
    """
    calls = stored(sent(*SENDERS[name]), by_engine=by_engine)

    [call] = calls
    assert (call["tool"], call["record"]) == ("drop_table", "end")
    assert "customers" in call["arguments"]
    assert "dropped" in call["result"]
    assert call["agent"] == AGENTS.get(name, "janitor")
    assert (call["effect"], call["effect_source"]) == ("destructive", "tool_list")
    assert not {"input.value", "tool.name", "tool_arguments", "gen_ai.tool.name"} & set(call["attributes"])


def test_the_collectors_view_has_every_name_once(stored: Any) -> None:
    """
    Where the list overrules the sender, and where a sender claims what the gateway vouches for, one of two is shown.
    """
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "drop_table"}
    said |= {"forewarn.effect": "read", "forewarn.effect.source": "declared"}
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="forewarn.environment", value=AnyValue(string_value="mine")))
    group.scope_spans.add().spans.append(_span(1, "execute_tool drop_table", said))

    stored(request.SerializeToString())

    shown = "SELECT mapKeys(SpanAttributes), SpanAttributes, mapKeys(ResourceAttributes), ResourceAttributes"
    [(names, attributes, told, resource)] = stored.store.query(f"{shown} FROM otel_traces").rows
    assert len(names) == len(set(names))
    assert (attributes["forewarn.effect"], attributes["forewarn.effect.source"]) == ("destructive", "tool_list")
    assert sorted(told) == ["forewarn.environment", "forewarn.key_id"]
    assert resource["forewarn.environment"] == "production"
    assert stored.store.query("SELECT attributes['forewarn.effect'] FROM spans").rows == (("read",),)


@pytest.mark.parametrize("name", SENDERS)
def test_a_span_pages_once_and_says_that_it_is_over(sent: Callable[..., bytes], name: str) -> None:
    """
    The first that is heard of a call is an alarm, even where the sender tells of calls only when they are over.
    """
    found = judge([record(sent(*SENDERS[name]))], load_rules(), TOOLS).findings

    hits = [hit for hit in found.hits if hit.rule.id == "destructive-in-production"]
    assert len({hit.key for hit in hits}) == 1
    assert "customers" in hits[-1].call.arguments
    assert "already ended" in hits[-1].note
    assert found.closed


def test_a_pending_span_is_the_start_of_the_real_one(stored: Any, sent: Callable[..., bytes]) -> None:
    """
    What Logfire sends when a span begins pages as a start and is stored as one, under the real span's ids.
    """
    request = ExportTraceServiceRequest.FromString(sent(*SENDERS["logfire"]))
    spans = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
    real = next(
        span for span in spans if span.end_time_unix_nano > span.start_time_unix_nano and "execute" in span.name
    )
    pending = next(span for span in spans if span.parent_span_id == real.span_id)
    begun = ExportTraceServiceRequest()
    begun.resource_spans.add().scope_spans.add().spans.append(pending)

    [start] = stored(begun.SerializeToString())
    [hit] = judge([record(begun.SerializeToString())], load_rules(), TOOLS).findings.hits

    assert (start["record"], start["span_id"], start["parent_span_id"]) == ("start", real.span_id, real.parent_span_id)
    assert start["arguments"] == '{"name":"customers"}'
    assert (hit.call.span_id, hit.note) == (real.span_id.hex(), "")


def _logfire_call(sent: Callable[..., bytes]) -> tuple[bytes, bytes]:
    """A call's pending span and its real one, each in a request of its own."""
    request = ExportTraceServiceRequest.FromString(sent(*SENDERS["logfire"]))
    [group] = request.resource_spans
    spans = [span for scope in group.scope_spans for span in scope.spans if "execute" in span.name]
    found = {span.end_time_unix_nano > span.start_time_unix_nano: span for span in spans}
    requests = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    for alone, span in zip(requests, (found[False], found[True]), strict=True):
        alone.resource_spans.add(resource=group.resource).scope_spans.add().spans.append(span)
    return requests[0].SerializeToString(), requests[1].SerializeToString()


@pytest.mark.parametrize(
    ("dies", "rules"),
    [(True, ["destructive-in-production", "outcome-unknown"]), (False, ["destructive-in-production"])],
)
def test_a_pending_span_without_an_end_pages_that_its_outcome_is_unknown(
    sent: Callable[..., bytes], tmp_path: Path, dies: bool, rules: list[str]
) -> None:
    """
    Where the process dies in the call there is one page more, once; where the real span follows there is none.
    """
    begun, ended = _logfire_call(sent)
    now = [START_NS]
    log = MemoryLog(clock_ns=lambda: now[0])
    engine = open_state(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    incidents = Incidents(engine, {"oncall": ["pager"]}, clock_ns=lambda: now[0])
    watcher = Watcher(log, load_rules(), incidents, clock_ns=lambda: now[0], tools=TOOLS)
    for body in (begun,) if dies else (begun, ended):
        log.append(Topic.SPANS, body, headers=record(body).headers).result()

    for _ in range(3):
        while watcher.step():
            pass
        now[0] += 61_000_000_000
    with engine.connect() as connection:
        opened = [row.rule for row in connection.execute(select(INCIDENTS))]
    engine.dispose()

    assert opened == rules


@pytest.mark.parametrize("by_engine", [True, False])
@pytest.mark.parametrize("name", ["pydantic-ai 5", "logfire"])
def test_what_the_model_thought_is_on_the_span_of_its_answer(
    stored: Any, sent: Callable[..., bytes], name: str, by_engine: bool
) -> None:
    """
    A thinking part of an answer is the reasoning of that span, once in a trace; the messages stay whole beside it.
    """
    stored(sent(*SENDERS[name]), by_engine=by_engine)

    thoughts = "SELECT operation, reasoning, attributes['gen_ai.output.messages'] FROM spans WHERE reasoning != ''"
    [(operation, reasoning, messages)] = stored.store.query(thoughts).rows

    assert (operation, reasoning) == ("chat", "customers looks stale")
    assert '"type":"thinking","content":"customers looks stale"' in messages


@pytest.mark.parametrize("by_engine", [True, False])
def test_what_the_model_thought_in_openinference(stored: Any, by_engine: bool) -> None:
    """
    Contents of the type `reasoning` are what the model thought, in their order; other contents are not.
    """
    part = "llm.output_messages.0.message.contents.{}.message_content"
    said = {"openinference.span.kind": "LLM"}
    for number, (kind, text) in enumerate([("reasoning", "it is stale"), ("text", "done"), ("reasoning", "drop it")]):
        said |= {f"{part.format(number)}.type": kind, f"{part.format(number)}.text": text}
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(_span(1, "ChatAnthropic", said))

    stored(request.SerializeToString(), by_engine=by_engine)

    assert stored.store.query("SELECT operation, reasoning FROM spans").rows == (("chat", "it is stale\ndrop it"),)


def test_claude_code(stored: Any) -> None:
    """
    A tool's span is a call, its parts are none; the command is the argument, the session the conversation.
    """
    [call] = stored(claude_code())
    [hit] = judge([record(claude_code())], load_rules(), TOOLS).findings.hits
    [asked] = list(stored.store.query("SELECT * FROM spans WHERE operation = 'chat'"))

    assert (call["tool"], call["call_id"], call["arguments"]) == ("Bash", "toolu_1", "rm -rf data")
    assert (call["agent"], call["conversation_id"], call["effect"]) == ("a1", "s-1", "destructive")
    assert (asked["model"], asked["input_tokens"], asked["output_tokens"]) == ("m", 7, 3)
    assert hit.call.arguments == "rm -rf data"


def test_a_tool_that_nobody_declared_is_unknown(sent: Callable[..., bytes]) -> None:
    """
    Without a tool list a foreign call has the effect `unknown`, and the rule for those pages.
    """
    found = judge([record(sent(*SENDERS["openinference"]))], load_rules(), ToolList()).findings

    assert [(hit.rule.id, hit.call.effect_source) for hit in found.hits] == [
        ("unknown-effect-in-production", "undeclared")
    ]
