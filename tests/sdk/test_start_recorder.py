"""
Plain OpenTelemetry: tool spans of an application are on record when they start, beside its own exporters.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Status, StatusCode

import forewarn
from forewarn.opentelemetry import PendingSpans, StartRecorder
from forewarn.testing import record

TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "drop"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    """An application with a batch exporter of its own, and a StartRecorder beside it."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.add_span_processor(StartRecorder())
    yield provider
    provider.shutdown()


def test_a_tool_span_is_on_record_when_it_starts(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    Same ids, known attributes, no end; then the end, with what came later; and the application's exporter has it once.
    """
    tracer = provider.get_tracer("app")
    with record() as recorded:
        with tracer.start_as_current_span("request"), tracer.start_as_current_span("drop", attributes=TOOL) as span:
            (start,) = recorded.records
            span.set_attribute("rows", 7)
        start, end = recorded.records
    assert provider.force_flush()

    exported, request = exporter.get_finished_spans()
    context = exported.get_span_context()
    assert context is not None
    assert (start["record"], start["end_ns"], end["record"]) == ("start", 0, "end")
    assert start["trace_id"] == end["trace_id"] == f"{context.trace_id:032x}"
    assert start["span_id"] == end["span_id"] == f"{context.span_id:016x}"
    assert start["parent_span_id"] == f"{request.get_span_context().span_id:016x}"  # type: ignore[union-attr]
    assert (end["start_ns"], end["end_ns"]) == (exported.start_time, exported.end_time)
    assert start["attributes"] == {**TOOL, "forewarn.sequence": 1}
    assert end["attributes"] == {**TOOL, "rows": 7, "forewarn.sequence": 2}


def test_which_spans(provider: TracerProvider) -> None:
    """
    Tool calls by operation or by name; not other spans, and not those of `forewarn.tool`, which are on record already.
    """
    tracer = provider.get_tracer("app")

    @forewarn.tool(effect="read")
    def look() -> None: ...

    with record(tracer_provider=provider) as recorded:
        for name in ("chat gpt", "execute_tool look", "execute_tools"):
            tracer.start_span(name).end()
        look()

    assert [one["name"] for one in recorded.starts] == ["execute_tool look", "execute_tool look"]
    assert [one["attributes"].get("forewarn.effect") for one in recorded.starts] == [None, "read"]


def test_any_span_if_told(exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture) -> None:
    """
    The application may choose by anything; a choice that fails takes the span, and ends nothing.
    """

    def which(span: ReadableSpan) -> bool:
        if span.name == "odd":
            raise LookupError("mine")
        return span.name.startswith("sql")

    provider = TracerProvider()
    provider.add_span_processor(StartRecorder(which))
    tracer = provider.get_tracer("app")

    with record() as recorded:
        for name in ("sql delete", "http get", "odd"):
            tracer.start_span(name).end()

    assert [one["name"] for one in recorded.starts] == [one["name"] for one in recorded.ends] == ["sql delete", "odd"]
    assert "cannot tell whether the span odd" in caplog.text


def test_what_is_secret_stays_here(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    By name and by look, in texts, JSON, lists and the status; counted. The application's own span is as it was.
    """
    arguments = json.dumps({"table": "users", "password": "hunter2hunter2"})
    attributes = {
        **TOOL,
        "gen_ai.tool.call.arguments": arguments,
        "api_key": "0123456789",
        "note": "token=abcdefghij",
        "list": ["a", "password=abcdefghij"],
        "ratio": 0.5,
        "big": 2**62,
        "ok": True,
    }

    with record() as recorded:
        span = provider.get_tracer("app").start_span("x", attributes=attributes)
        span.set_status(Status(StatusCode.ERROR, "password=abcdefghij failed"))
        span.end()
    assert provider.force_flush()

    start, end = recorded.records
    said = start["attributes"]
    assert json.loads(said["gen_ai.tool.call.arguments"])["table"] == "users"
    assert said["forewarn.redacted"] == 4
    assert end["attributes"]["forewarn.redacted"] == 5
    assert "failed" in end["status"]
    assert not any(secret in repr(recorded.spool.records) for secret in ("hunter2", "abcdefghij", "0123456789"))
    (exported,) = exporter.get_finished_spans()
    assert exported.attributes is not None
    assert exported.attributes["gen_ai.tool.call.arguments"] == arguments


def test_a_span_that_is_not_sampled_is_recorded() -> None:
    """
    What a sampler keeps from the application's backend, though not from its processors, is on record.
    """

    class RecordOnly(Sampler):
        def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self) -> str:
            return "records, samples nothing"

    provider = TracerProvider(sampler=RecordOnly())
    provider.add_span_processor(StartRecorder())

    with record() as recorded:
        provider.get_tracer("app").start_span("execute_tool drop").end()

    assert [one["record"] for one in recorded.records] == ["start", "end"]


def test_trouble_with_the_spool_is_not_the_applications(provider: TracerProvider) -> None:
    """
    Its span lives and ends; the loss is known by its numbers, as that of a call nobody knows the effect of.
    """
    tracer = provider.get_tracer("app")
    with record() as recorded:
        recorded.spool.full = True
        tracer.start_span("execute_tool a").end()
        recorded.spool.full = False
        tracer.start_span("execute_tool b").end()

    (loss,) = [one for one in recorded.records if one["name"] == "loss"]
    assert loss["attributes"]["forewarn.lost.sequences"] == "1-2"
    assert loss["attributes"]["forewarn.lost.effect"] == "unknown"


def test_killed_inside_a_span(gateway: Any, spool: Path) -> None:
    """
    What no exporter can tell: the start of a span whose process died in it arrives with the next process.
    """
    program = f"""
import os, signal, forewarn
from opentelemetry.sdk.trace import TracerProvider
from forewarn.opentelemetry import StartRecorder
forewarn.configure(service="app", environment="test", spool={str(spool)!r})
provider = TracerProvider()
provider.add_span_processor(StartRecorder())
with provider.get_tracer("app").start_as_current_span("execute_tool drop"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=60, env=os.environ)
    assert died.returncode == -signal.SIGKILL

    forewarn.configure(endpoint=gateway.url, key="fwk_test_0a_0b", spool=spool)
    assert forewarn.flush(10)

    assert [(one["name"], one["record"]) for one in gateway.taken] == [("execute_tool drop", "start")]


def test_other_backends_see_a_span_that_has_started(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """
    A child without duration, with an id of its own, is exported while the span is open; once, and not on our record.
    """
    provider.add_span_processor(PendingSpans(provider))
    tracer = provider.get_tracer("app")

    with record() as recorded, tracer.start_as_current_span("request") as request:
        with tracer.start_as_current_span("drop", attributes=TOOL) as span:
            assert provider.force_flush()
            (pending,) = exporter.get_finished_spans()
        tracer.start_span("no tool").end()

    assert pending.name == "drop (pending)"
    assert pending.start_time == pending.end_time
    assert pending.parent is not None
    assert pending.parent.span_id == span.get_span_context().span_id
    request_id = request.get_span_context().span_id
    assert pending.attributes == {**TOOL, "forewarn.pending_parent_id": f"{request_id:016x}"}
    assert [one["name"] for one in recorded.records] == ["drop", "drop"]


def test_a_backend_that_fails_ends_no_span(caplog: pytest.LogCaptureFixture) -> None:
    """
    What the application's sampler raises for the child is told, and the span itself goes on.
    """

    class Picky(Sampler):
        def should_sample(self, _context: Any, _trace_id: Any, name: str, *_: Any, **__: Any) -> SamplingResult:
            if name.endswith("(pending)"):
                raise ArithmeticError("its own")
            return SamplingResult(Decision.RECORD_AND_SAMPLE)

        def get_description(self) -> str:
            return "fails for some"

    provider = TracerProvider(sampler=Picky())
    provider.add_span_processor(PendingSpans(provider))

    with provider.get_tracer("app").start_as_current_span("execute_tool drop") as span:
        assert span.is_recording()

    assert "could not be shown" in caplog.text


def test_names_are_looked_through_too() -> None:
    """
    A credential in a span's name or in an attribute's name is not on record.
    """
    provider = TracerProvider()
    provider.add_span_processor(StartRecorder(lambda _: True))

    with record() as recorded:
        span = provider.get_tracer("app").start_span(
            "GET https://bob:correct-horse@example.com/", attributes={"password=correct-horse": 1}
        )
        span.end()

    provider.shutdown()
    assert [one["attributes"]["forewarn.redacted"] for one in recorded.records] == [2, 2]
    assert b"correct-horse" not in b"".join(encoded for _, encoded in recorded.spool.records)


def test_values_that_otlp_has_no_word_for_lose_no_record(provider: TracerProvider) -> None:
    """
    A lone surrogate and an integer beyond 64 bits are on record as near as OTLP has them.
    """
    with record() as recorded:
        span = provider.get_tracer("app").start_span(
            "execute_tool drop", attributes={"text": "a\ud800", "large": 1 << 70, "least": -(1 << 63)}
        )
        span.end()

    assert [one["record"] for one in recorded.records] == ["start", "end"]
    said = recorded.starts[0]["attributes"]
    assert (said["text"], said["large"], said["least"]) == ("a?", hex(1 << 70), -(1 << 63))
