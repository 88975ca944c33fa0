"""LangSmith's OTel export of a run of a tool, without its server; its spans go to standard output."""

from __future__ import annotations

import sys

from langsmith import Client, traceable
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
client = Client(otel_tracer_provider=provider)


@traceable(run_type="tool", client=client)
def drop_table(name: str) -> str:
    return f"dropped {name}"


@traceable(run_type="chain", client=client)
def janitor() -> str:
    return drop_table("customers")


janitor()
client.flush()
provider.force_flush()
sys.stdout.buffer.write(encode_spans(exporter.get_finished_spans()).SerializeToString())
