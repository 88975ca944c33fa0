"""
The demo's agent: a small honest loop (model, tool call, result) with SQL access to a real database.

It runs as a process of its own and knows Forewarn only as any agent does: `forewarn.configure()`, `@forewarn.tool`,
`forewarn.agent`, `forewarn.reason`, with FOREWARN_ENDPOINT and FOREWARN_KEY in its environment. It tells what it does
on standard output, one line of JSON a step, with its own clock.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import forewarn
from forewarn_control.demo import database
from forewarn_control.demo.model import NAME, Call, Cleaner, Delegate, Done, Janitor, Model, Result

SERVICE: Final = "billing-janitor"
TASK: Final = "clean up stale records"

Tools = Mapping[str, Callable[..., Any]]


def main() -> None:
    """What `python -m forewarn_control.demo.agent` runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds the scripted model takes to answer")
    options = parser.parse_args()
    forewarn.configure(service=SERVICE)
    with closing(database.connect(options.database)) as production:
        models: dict[str, Model] = {"janitor": Janitor(), "cleaner": Cleaner(datetime.now(UTC).date())}
        tell("task", agent="janitor", text=TASK, model=NAME)
        answer = Loop(models, sql_tools(production), options.pause).work("janitor", TASK)
    tell("done", agent="janitor", text=answer)


def sql_tools(production: sqlite3.Connection) -> Tools:
    """The agent's hands. What each may do to the world is declared; the last one destroys."""

    @forewarn.tool(effect="read")
    def list_tables() -> list[str]:
        return database.tables(production)

    @forewarn.tool(effect="read")
    def describe_table(table: str) -> dict[str, Any]:
        return {"rows": database.count(production, table), "newest": database.newest(production, table)}

    @forewarn.tool(effect="destructive")
    def drop_table(name: str, cascade: bool = False) -> str:
        tell("tool_runs", tool="drop_table")
        rows = database.count(production, name)
        if not cascade:
            production.execute("PRAGMA foreign_keys = OFF")
        production.execute(f'DROP TABLE "{name}"')  # with foreign keys on, SQLite deletes the referencing rows first
        return f"dropped {name}: {rows} rows are gone"

    return {tool.__name__: tool for tool in (list_tables, describe_table, drop_table)}


class Loop:
    """Ask the model, do what it says, tell it what came of it, until it is finished."""

    def __init__(self, models: Mapping[str, Model], tools: Tools, pause_s: float) -> None:
        self._models = models
        self._tools = tools
        self._pause_s = pause_s

    def work(self, name: str, task: str) -> str:
        """Let one agent do the task; a delegation nests."""
        results: list[Result] = []
        with forewarn.agent(name):
            while True:
                time.sleep(self._pause_s)
                turn = self._models[name].answer(task, results)
                forewarn.reason(turn.reasoning)
                tell("reasons", agent=name, text=turn.reasoning)
                match turn.act:
                    case Done(answer):
                        return answer
                    case Delegate(agent, subtask):
                        results.append(Result(turn.act, self.work(agent, subtask)))
                    case Call():
                        results.append(Result(turn.act, self._call(name, turn.act)))

    def _call(self, agent: str, call: Call) -> Any:
        tell("calls", agent=agent, tool=call.tool, arguments=call.arguments)
        try:
            value = self._tools[call.tool](**call.arguments)
        except forewarn.NotRecorded as refusal:
            value = str(refusal)  # a refusal is a text that a model can read and obey
            tell("refused", agent=agent, tool=call.tool, text=value)
        else:
            tell("returned", agent=agent, tool=call.tool, value=value)
        return value


def tell(event: str, **details: object) -> None:
    """One line for whoever watches this process."""
    print(json.dumps({"event": event, "at_ns": time.time_ns(), **details}), file=sys.stdout, flush=True)


if __name__ == "__main__":
    main()
