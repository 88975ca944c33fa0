"""LangSmith's OTel export of a run of a tool, without its server; where its spans go is the last argument."""

from __future__ import annotations

import sys

from exporting import exporter_for, finish
from langsmith import Client, traceable
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

exporter, provider = exporter_for(sys.argv[-1]), TracerProvider()
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
finish(exporter)
