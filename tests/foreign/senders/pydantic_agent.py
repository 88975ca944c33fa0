"""A Pydantic AI agent with a scripted model that drops a table; where its spans go is the last argument."""

from __future__ import annotations

import sys
from typing import Any

from exporting import exporter_for, finish
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

ANSWERS = iter(
    [
        ModelResponse(
            parts=[
                ThinkingPart("customers looks stale"),
                ToolCallPart("drop_table", {"name": "customers"}, tool_call_id="call_1"),
            ]
        ),
        ModelResponse(parts=[TextPart("done")]),
    ]
)


exporter = exporter_for(sys.argv[-1])
capabilities: list[Any] = []
if sys.argv[1] == "logfire":
    import logfire
    from logfire._internal.tracer import PendingSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    inner = SimpleSpanProcessor(exporter)
    pending = PendingSpanProcessor(RandomIdGenerator(), inner)
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[pending, inner])
    logfire.instrument_pydantic_ai()
else:
    from pydantic_ai.capabilities.instrumentation import Instrumentation
    from pydantic_ai.models.instrumented import InstrumentationSettings

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    version: Any = int(sys.argv[1])
    capabilities = [Instrumentation(settings=InstrumentationSettings(tracer_provider=provider, version=version))]

agent = Agent(FunctionModel(lambda _messages, _info: next(ANSWERS)), name="janitor", capabilities=capabilities)


@agent.tool_plain
def drop_table(name: str) -> str:
    """Drop a table."""
    return f"dropped {name}"


agent.run_sync("clean up")
finish(exporter)
