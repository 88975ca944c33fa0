"""Where a sender's spans go: `stdout` as one request, or to a server by an exporter with OTEL_ settings."""

from __future__ import annotations

import sys

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def exporter_for(where: str) -> SpanExporter:
    """Where to: `stdout`, `http` or `grpc`."""
    if where == "http":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

        return Http()
    if where == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc()
    return InMemorySpanExporter()


def finish(exporter: SpanExporter) -> None:
    """The last thing that a sender does."""
    if isinstance(exporter, InMemorySpanExporter):
        sys.stdout.buffer.write(encode_spans(exporter.get_finished_spans()).SerializeToString())
    exporter.shutdown()
