"""
A pydantic-ai agent on record.

Tools are plain `@forewarn.tool` functions, a sub-agent runs inside `forewarn.agent`, and a capability puts what the
model thought on record.

    FOREWARN_ENDPOINT=... FOREWARN_KEY=... python examples/pydantic_ai_agent.py shop.db

The model is pydantic-ai's own `FunctionModel` with a script, so that the example needs no provider; put a real model in
its place.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import forewarn


class ReasoningOnRecord(AbstractCapability[Any]):
    """Puts what the model thought on record before the tools it asked for are called."""

    async def after_model_request(self, ctx: Any, *, request_context: Any, response: ModelResponse) -> ModelResponse:
        for part in response.parts:
            if isinstance(part, ThinkingPart | TextPart) and part.content:
                forewarn.reason(part.content)
        return response


def scripted(*turns: ModelResponse) -> FunctionModel:
    """A model that answers with one turn after the other."""
    rest = iter(turns)

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        return next(rest)

    return FunctionModel(answer)


def build(database: str) -> Agent[object, str]:
    """The janitor, which hands the deleting to a cleaner."""
    cleaner = Agent(
        scripted(
            ModelResponse(
                [ThinkingPart("customers_old looks stale, and customers too."), ToolCallPart("list_tables", {})]
            ),
            ModelResponse(
                [ThinkingPart("Dropping customers frees space."), ToolCallPart("drop_table", {"name": "customers"})]
            ),
            ModelResponse([TextPart("Dropped customers.")]),
        ),
        name="cleaner",
        capabilities=[ReasoningOnRecord()],
    )
    janitor = Agent(
        scripted(
            ModelResponse([ThinkingPart("A cleaner should do this."), ToolCallPart("delegate", {"task": "clean up"})]),
            ModelResponse([TextPart("Done.")]),
        ),
        name="janitor",
        capabilities=[ReasoningOnRecord()],
    )

    @cleaner.tool_plain
    @forewarn.tool(effect="read")
    def list_tables() -> list[str]:
        """Names of the tables."""
        with sqlite3.connect(database) as db:
            return [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]

    @cleaner.tool_plain
    @forewarn.tool(effect="destructive")
    def drop_table(name: str) -> str:
        """Drop a table."""
        with sqlite3.connect(database) as db:
            db.execute(f'DROP TABLE "{name}"')
        return f"dropped {name}"

    @janitor.tool_plain
    @forewarn.tool(effect="write")
    async def delegate(task: str) -> str:
        """Hand a task to the cleaner."""
        with forewarn.agent("cleaner"):
            return (await cleaner.run(task)).output

    return janitor


async def main(database: str) -> None:
    forewarn.configure(service="billing-janitor")
    with forewarn.agent("janitor"):
        answer = await build(database).run("clean up stale records")
    print(answer.output)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
