"""A LangGraph agent with a scripted model that drops a table; where its spans go is the last argument."""

from __future__ import annotations

import sys
from typing import Any

from exporting import exporter_for, finish
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


class Scripted(GenericFakeChatModel):
    """Says what it was given, whatever tools it has."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


@tool
def drop_table(name: str) -> str:
    """Drop a table."""
    return f"dropped {name}"


def instrument(which: str, provider: TracerProvider) -> None:
    if which == "openinference":
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)
    else:
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor

        LangchainInstrumentor().instrument(tracer_provider=provider)


exporter, provider = exporter_for(sys.argv[-1]), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
instrument(sys.argv[1], provider)
call = {"name": "drop_table", "args": {"name": "customers"}, "id": "call_1"}
model = Scripted(messages=iter([AIMessage(content="", tool_calls=[call]), AIMessage(content="done")]))
agent = create_react_agent(model, [drop_table], name="janitor")
agent.invoke({"messages": [("user", "clean up")]}, config={"configurable": {"thread_id": "t-1"}})
finish(exporter)
