"""
A LangGraph agent on record.

Tools are plain `@forewarn.tool` functions in a `ToolNode`; the model's node passes its reasoning on.

    FOREWARN_ENDPOINT=... FOREWARN_KEY=... python examples/langgraph_agent.py shop.db

The model is langchain-core's own `GenericFakeChatModel` with a script, so that the example needs no provider; put a
real model in its place.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

import forewarn


def scripted(*turns: AIMessage) -> GenericFakeChatModel:
    """A model that answers with one turn after the other."""
    return GenericFakeChatModel(messages=iter(turns))


def call(tool: str, **arguments: Any) -> list[dict[str, Any]]:
    """One tool call, as a model asks for it."""
    return [{"name": tool, "args": arguments, "id": f"call_{tool}"}]


def graph(model: GenericFakeChatModel, *tools: Any) -> Any:
    """Model and tools in turns, with every thought on record before the tools it leads to are called."""

    def think(state: MessagesState) -> dict[str, Any]:
        message = model.invoke(state["messages"])
        if message.content:
            forewarn.reason(str(message.content))
        return {"messages": [message]}

    flow = StateGraph(MessagesState)
    flow.add_node("think", think)
    flow.add_node("tools", ToolNode(list(tools)))
    flow.add_edge(START, "think")
    flow.add_conditional_edges("think", tools_condition, {"tools": "tools", END: END})
    flow.add_edge("tools", "think")
    return flow.compile()


def build(database: str) -> Any:
    """The janitor, which hands the deleting to a cleaner."""

    @forewarn.tool(effect="read")
    def list_tables() -> list[str]:
        """Names of the tables."""
        with sqlite3.connect(database) as db:
            return [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]

    @forewarn.tool(effect="destructive")
    def drop_table(name: str) -> str:
        """Drop a table."""
        with sqlite3.connect(database) as db:
            db.execute(f'DROP TABLE "{name}"')
        return f"dropped {name}"

    @forewarn.tool(effect="write")
    def delegate(task: str) -> str:
        """Hand a task to the cleaner."""
        with forewarn.agent("cleaner"):
            return str(cleaner.invoke({"messages": [("user", task)]})["messages"][-1].content)

    cleaner = graph(
        scripted(
            AIMessage("customers_old looks stale, and customers too.", tool_calls=call("list_tables")),
            AIMessage("Dropping customers frees space.", tool_calls=call("drop_table", name="customers")),
            AIMessage("Dropped customers."),
        ),
        list_tables,
        drop_table,
    )
    return graph(
        scripted(
            AIMessage("A cleaner should do this.", tool_calls=call("delegate", task="clean up")),
            AIMessage("Done."),
        ),
        delegate,
    )


def main(database: str) -> None:
    forewarn.configure(service="billing-janitor")
    with forewarn.agent("janitor"):
        answer = build(database).invoke({"messages": [("user", "clean up stale records")]})
    print(answer["messages"][-1].content)


if __name__ == "__main__":
    main(sys.argv[1])
