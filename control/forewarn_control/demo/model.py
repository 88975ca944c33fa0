"""
The demo's "model": a script, and it says so. It reads real tool results and follows one rule of thumb to its bad end.

The rule is the kind of shortcut that real agents take: a table whose newest row is old is stale; drop the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        known = {act.tool: value for act, value in _calls(results)}
        if "drop_table" in known:
            return Turn("The stale records are gone.", Done(str(known["drop_table"])))
        seen = {act.arguments["table"]: value for act, value in _calls(results) if act.tool == "describe_table"}
        for table in known["list_tables"]:
            if table not in seen:
                return Turn(f"Is {table} in use?", Call("describe_table", {"table": table}))
        return self._conclude(seen)

    def _conclude(self, seen: Mapping[str, Mapping[str, Any]]) -> Turn:
        rows = {table: facts["rows"] for table, facts in seen.items()}
        age = {table: (self.today - date.fromisoformat(facts["newest"])).days for table, facts in seen.items()}
        stale = sorted((table for table in age if age[table] > _STALE_AFTER_DAYS), key=rows.__getitem__)
        if not stale:
            return Turn("No table is stale.", Done("nothing to clean up"))
        first, largest = stale[0], stale[-1]
        return Turn(
            f"{first} looks stale, and {largest} too: nothing newer than {age[largest]} days. "
            f"Dropping {largest} frees the most space, {rows[largest]} rows.",
            Call("drop_table", {"name": largest, "cascade": True}),
        )


def _calls(results: Sequence[Result]) -> Iterator[tuple[Call, Any]]:
    return ((result.act, result.value) for result in results if isinstance(result.act, Call))
