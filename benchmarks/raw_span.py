"""
The base of the SDK's benchmarks: one raw OpenTelemetry span around a tool that does nothing, exported to nowhere.

It needs nothing but the OpenTelemetry SDK, so that every contestant is measured against it in its own process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

Tool = Callable[[str, str, str], Any]

ARGUMENTS: tuple[str, str, str] = (
    "/srv/app/reports/2026/quarterly-summary.md",
    "The quarter closed above plan in two of three regions. Costs were flat; the third region moved its launch. " * 2,
    "overwrite",
)


class NoExport(SpanExporter):
    """Takes spans and does nothing with them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


def write_report(path: str, content: str, mode: str) -> int:
    return len(path) + len(content) + len(mode)


def silent_provider() -> TracerProvider:
    """A provider whose spans go nowhere; no batch processor, whose thread would take turns with what is measured."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(NoExport()))
    return provider


def raw(provider: TracerProvider) -> Tool:
    """One span with eight attributes around the tool, the arguments as `json.dumps` gives them."""
    tracer = provider.get_tracer("benchmark")

    def call(path: str, content: str, mode: str) -> int:
        attributes: dict[str, str | bool] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "write_report",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.tool.call.arguments": json.dumps({"path": path, "content": content, "mode": mode}),
            "gen_ai.agent.name": "reporter",
            "session.id": "session_1",
            "tool.destructive": False,
        }
        with tracer.start_as_current_span("execute_tool write_report", attributes=attributes):
            return write_report(path, content, mode)

    return call


def measure(call: Tool, calls: int) -> float:
    """Microseconds a call."""
    began = time.perf_counter()
    for _ in range(calls):
        call(*ARGUMENTS)
    return (time.perf_counter() - began) / calls * 1e6
