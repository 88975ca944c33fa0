"""The tools that agents call, of each kind and effect; all of them ask what happens inside of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Protocol

from opentelemetry import trace

import forewarn


class ToolFailed(Exception):
    """A tool's own error."""


class Inside(Protocol):
    """Who is asked what happens inside of a tool."""

    def tool_runs(self, effect: str, trace_id: bytes, span_id: bytes) -> None: ...


class Here:
    """The agent that acts at this moment."""

    agent: Inside | None = None


def _inside(effect: str) -> str:
    context = trace.get_current_span().get_span_context()
    assert Here.agent is not None
    Here.agent.tool_runs(effect, context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"))
    return "done"


@forewarn.tool(effect="read")
def list_tables(name: str) -> str:
    return _inside("read") + name


@forewarn.tool(effect="write")
def insert_row(name: str) -> str:
    list_tables(name)
    return _inside("write") + name


@forewarn.tool(effect="destructive")
def drop_table(name: str) -> str:
    return _inside("destructive") + name


@forewarn.tool
def run_task(name: str) -> str:
    return _inside("unknown") + name


@forewarn.tool(effect="write")
def copy_rows(name: str) -> Generator[str, None, None]:
    for _ in range(3):
        yield _inside("write") + name


@forewarn.tool(effect="destructive")
def delete_rows(name: str) -> Generator[str, None, None]:
    for _ in range(2):
        yield _inside("destructive") + name


@forewarn.tool(effect="read")
async def count_rows(name: str) -> str:
    return _inside("read") + name


@forewarn.tool(effect="destructive")
async def drop_index(name: str) -> str:
    return _inside("destructive") + name


@forewarn.tool(effect="write")
async def stream_rows(name: str) -> AsyncGenerator[str, None]:
    for _ in range(2):
        yield _inside("write") + name


PLAIN = (list_tables, insert_row, drop_table, drop_table, run_task)
STREAMS = (copy_rows, delete_rows)
COROUTINES = (count_rows, drop_index, drop_index)
