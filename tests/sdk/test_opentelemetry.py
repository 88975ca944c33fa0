"""
Beside an application's own OpenTelemetry: its traces are joined, its provider is used and never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

import forewarn
from forewarn import configuration
from forewarn.credentials import MARKED
from forewarn.recording.segments import Frame, SegmentReader
from forewarn.recording.spool import SegmentSpool
from forewarn.testing import read_record, record


@forewarn.tool(effect="read")
def look(table: str) -> str:
    return table


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_a_call_is_a_span_of_the_application_too(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    The same ids, times and parent on both; and it is in the application's current trace.
    """
    tracer = provider.get_tracer("app")
    with record(tracer_provider=provider) as recorded, tracer.start_as_current_span("request") as request:
        look("users")

    span, outer = exporter.get_finished_spans()
    start, end = recorded.records
    assert outer.name == "request"
    assert ids(span) == (start["trace_id"], start["span_id"]) == (end["trace_id"], end["span_id"])
    assert start["parent_span_id"] == f"{request.get_span_context().span_id:016x}"
    assert (span.start_time, span.end_time) == (end["start_ns"], end["end_ns"])
    assert span.attributes is not None
    assert span.attributes["gen_ai.tool.call.arguments"] == '{"table":"users"}'
    assert "forewarn.outcome" not in span.attributes
    assert "forewarn.record" not in span.attributes


def test_what_the_tool_does_nests_under_it(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    Spans made by the application within the tool are its children; between a generator's items they are not.
    """
    tracer = provider.get_tracer("app")

    @forewarn.tool(effect="read")
    def rows() -> Iterator[int]:
        with tracer.start_as_current_span("inside"):
            pass
        yield 1

    with record(tracer_provider=provider):
        for _ in rows():
            with tracer.start_as_current_span("between"):
                pass

    spans = {span.name: span for span in exporter.get_finished_spans()}
    inside_parent = spans["inside"].parent
    assert inside_parent is not None
    assert f"{inside_parent.span_id:016x}" == ids(spans["execute_tool rows"])[1]
    assert spans["between"].parent is None


def test_an_error_is_the_spans_status(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    The application's backend sees the error, redacted.
    """

    @forewarn.tool(effect="read")
    def fail() -> None:
        raise ValueError("token=abcdefgh")

    with record(tracer_provider=provider), pytest.raises(ValueError, match="token"):
        fail()

    (span,) = exporter.get_finished_spans()
    description = re.sub(MARKED, "<mark>", span.status.description or "")
    assert (span.status.status_code, description) == (StatusCode.ERROR, "token=<mark>")
    assert span.attributes is not None
    assert (span.attributes["error.type"], span.attributes["forewarn.outcome"]) == ("ValueError", "error")


def test_without_a_provider_calls_still_make_one_trace() -> None:
    """
    Own ids, and nested calls, agents and reasoning nest.
    """

    @forewarn.tool(effect="read")
    def outer() -> None:
        look("inner")

    with record() as recorded:
        outer()

    (inner,), (outside,) = recorded.calls("look"), recorded.calls("outer")
    assert inner["parent_span_id"] == outside["span_id"]
    assert inner["trace_id"] == outside["trace_id"]
    assert inner["span_id"] != outside["span_id"]


def test_a_remote_parent_without_a_provider_is_joined() -> None:
    """
    A trace that came in over the wire goes on, with a span id of its own.
    """
    remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    with record() as recorded, trace.use_span(NonRecordingSpan(remote)):
        look("users")

    (end,) = recorded.ends
    assert (end["trace_id"], end["parent_span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert end["span_id"] != f"{0xDEF:016x}"


def test_what_the_sampler_drops_is_recorded(exporter: InMemorySpanExporter) -> None:
    """
    Sampling is the application's choice for its backend, not for the flight recorder.
    """
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with record(tracer_provider=provider) as recorded, forewarn.agent("a"):
        look("users")

    provider.shutdown()
    (call,) = recorded.calls("look")
    assert exporter.get_finished_spans() == ()
    assert call["parent_span_id"] == recorded.starts[0]["span_id"]


class Broken(SpanProcessor):
    def __init__(self, when: str) -> None:
        self._when = when

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self._when == "start":
            raise RuntimeError("the application's processor")

    def on_end(self, span: ReadableSpan) -> None:
        if self._when == "end":
            raise RuntimeError("the application's processor")


@pytest.mark.parametrize("when", ["start", "end"])
def test_a_broken_span_processor_breaks_no_call(when: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    An exception in the application's own processor is logged; the call runs and is recorded.
    """
    provider = TracerProvider()
    provider.add_span_processor(Broken(when))

    with record(tracer_provider=provider) as recorded:
        assert look("users") == "users"

    provider.shutdown()
    assert [one["record"] for one in recorded.records] == ["start", "end"]
    assert "span processor of the application failed" in caplog.text


def test_the_applications_provider_is_not_touched(spool: Any) -> None:
    """
    Configuring and calling installs no provider, processor or sampler.
    """
    before = trace.get_tracer_provider()

    forewarn.configure(environment="test", spool=spool)
    look("users")

    assert trace.get_tracer_provider() is before


def test_reasoning_and_agents_are_spans_too(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    The whole run shows in the application's own backend, in one trace.
    """
    with record(tracer_provider=provider) as recorded, forewarn.agent("janitor"), forewarn.reason("hm"):
        look("users")

    names = [span.name for span in exporter.get_finished_spans()]
    assert names == ["reason", "execute_tool look", "invoke_agent janitor"]
    assert len({ids(span)[0] for span in exporter.get_finished_spans()}) == 1
    assert {ids(span) for span in exporter.get_finished_spans()} == {
        (one["trace_id"], one["span_id"]) for one in recorded.records
    }


@pytest.fixture
def light(spool: Any, provider: TracerProvider) -> Iterator[SegmentSpool]:
    """The spool of a process without spans of its own."""
    forewarn.configure(environment="test", spool=spool, spans="light", tracer_provider=provider)
    runtime = configuration.current()
    assert isinstance(runtime.spool, SegmentSpool)
    yield runtime.spool
    forewarn.shutdown(0)


def spooled(spool: SegmentSpool) -> list[dict[str, Any]]:
    """The records of calls and agents, in order."""
    readers = [SegmentReader.open(segment.path) for segment in spool.written()]
    frames = [frame for reader in readers if reader for frame in reader.read(reader.acknowledged, reader.size())]
    records = [read_record(frame.record) for frame in frames if isinstance(frame, Frame)]
    ours = [one for one in records if one["attributes"]["gen_ai.operation.name"] != "sender"]
    return sorted(ours, key=lambda one: one["attributes"]["forewarn.sequence"])


def test_light_calls_are_no_spans_of_the_application(
    light: SegmentSpool, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """
    Its spans inside of a call have the call above them, under the same trace; the calls themselves it never sees.
    """
    tracer = provider.get_tracer("app")

    @forewarn.tool(effect="read")
    def outer() -> str:
        with tracer.start_as_current_span("inside"):
            return look("users")

    with tracer.start_as_current_span("request"):
        outer()

    inside, request = exporter.get_finished_spans()
    first, second, *_ = spooled(light)
    trace_id, request_id = ids(request)
    assert {one["trace_id"] for one in spooled(light)} == {trace_id} == {ids(inside)[0]}
    assert (first["name"], first["parent_span_id"]) == ("execute_tool outer", request_id)
    assert inside.parent is not None
    assert f"{inside.parent.span_id:016x}" == first["span_id"]
    assert (second["name"], second["parent_span_id"]) == ("execute_tool look", ids(inside)[1])


def test_light_calls_without_a_trace_make_one(light: SegmentSpool, provider: TracerProvider) -> None:
    """
    Agents and calls nest under each other; what leaves the process says the same ids, sampled.
    """
    carrier: dict[str, str] = {}

    @forewarn.tool(effect="read")
    def fetch() -> None:
        inject(carrier)

    with forewarn.agent("a"):
        fetch()

    agent, call = spooled(light)[:2]
    assert call["trace_id"] == agent["trace_id"]
    assert (agent["parent_span_id"], call["parent_span_id"]) == ("", agent["span_id"])
    assert carrier["traceparent"] == f"00-{call['trace_id']}-{call['span_id']}-01"


def test_light_calls_carry_on_what_was_sampled_out(light: SegmentSpool) -> None:
    """
    A trace that the application does not sample is not sampled below our calls either.
    """
    provider = TracerProvider(sampler=ALWAYS_OFF)
    carrier: dict[str, str] = {}

    @forewarn.tool(effect="read")
    def fetch() -> None:
        inject(carrier)

    @forewarn.tool(effect="read")
    def outer() -> None:
        fetch()

    with provider.get_tracer("app").start_as_current_span("request"):
        outer()

    assert not int(carrier["traceparent"][-2:], 16) & TraceFlags.SAMPLED
    assert len(spooled(light)) == 4
