"""
The demo's "model": a script, and it says so. It reads real tool results and follows one rule of thumb to its bad end.

The rule is the kind of shortcut that real agents take: a table whose newest row is old is stale; drop the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Protocol

NAME: Final = "scripted-model (a script of the demo, no real model)"
_STALE_AFTER_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Call:
    """The model wants a tool called."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delegate:
    """The model hands a task to a sub-agent."""

    agent: str
    task: str


@dataclass(frozen=True, slots=True)
class Done:
    """The model is finished."""

    answer: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model thinks, and what it wants done about it."""

    reasoning: str
    act: Call | Delegate | Done


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an act, as the model is told."""

    act: Call | Delegate
    value: Any


class Model(Protocol):
    """Answers one turn after another."""

    def answer(self, task: str, results: Sequence[Result]) -> Turn:
        """The next turn, given all that happened so far."""
        ...


class Janitor:
    """Delegates what it is told."""

    def answer(self, task: str, results: Sequence[Result]) -> Turn:
        if not results:
            return Turn("This is about the database; the cleaner knows it.", Delegate("cleaner", task))
        return Turn("The cleaner is finished.", Done(str(results[-1].value)))


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Looks at every table, and drops the largest one that its rule of thumb calls stale."""

    today: date

    def answer(self, task: str, results: Sequence[Result]) -> Turn:
        if not results:
            return Turn(f"Asked to {task!r}: I should look at the tables first.", Call("list_tables"))
        known = {result.act.tool: result.value for result in results if isinstance(result.act, Call)}
        if "drop_table" in known:
            return Turn("The stale records are gone.", Done(str(known["drop_table"])))
        rows = _by_table(results, "count_rows")
        newest = _by_table(results, "newest_row")
        for table in known["list_tables"]:
            if table not in rows:
                return Turn(f"How large is {table}?", Call("count_rows", {"table": table}))
            if table not in newest:
                return Turn(f"How old is the newest row of {table}?", Call("newest_row", {"table": table}))
        return self._conclude(rows, newest)

    def _conclude(self, rows: dict[str, int], newest: dict[str, str]) -> Turn:
        age = {table: (self.today - date.fromisoformat(day)).days for table, day in newest.items()}
        stale = sorted((t for t in age if age[t] > _STALE_AFTER_DAYS), key=lambda t: rows[t])
        if not stale:
            return Turn("No table is stale.", Done("nothing to clean up"))
        first, largest = stale[0], stale[-1]
        return Turn(
            f"{first} looks stale, and {largest} too: nothing newer than {age[largest]} days. "
            f"Dropping {largest} frees the most space, {rows[largest]} rows.",
            Call("drop_table", {"name": largest, "cascade": True}),
        )


def _by_table(results: Sequence[Result], tool: str) -> dict[str, Any]:
    calls = ((result.act, result.value) for result in results)
    return {act.arguments["table"]: value for act, value in calls if isinstance(act, Call) and act.tool == tool}
