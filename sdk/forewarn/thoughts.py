"""
Thoughts: which of an agent's reasoning steps led to a call, where several tasks of one agent reason at the same time.

Two things are known: the latest step made in the call's own context (or in one that it was copied from), and the
agent's latest step anywhere. Frameworks run the model and the tools in sibling tasks, so the second must count; tasks
that work beside each other overwrite it for one another, so the first must count. What tells the two cases apart is
whether the agent's latest was made in sight of the context's own: then it came of it and is the newer word; otherwise
it is a sibling's.

Steps that are made one after another form a line; where two are made in sight of the same one, the second begins a
line of its own. So descent is told without keeping the steps themselves.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from forewarn.agents import Caller
    from forewarn.recording.records import Reasoning


class _Line:
    """A run of steps, each made in sight of the one before; `above`: where it branched off."""

    __slots__ = ("above",)

    def __init__(self, above: _Place | None) -> None:
        self.above = above


_Place: TypeAlias = "tuple[_Line, int]"


class Thought:
    """One reasoning step of one agent, and its place among the others."""

    __slots__ = ("_line", "_position", "_successor", "caller", "reasoning")

    def __init__(self, caller: Caller, reasoning: Reasoning, before: Thought | None) -> None:
        self.caller = caller
        self.reasoning = reasoning
        self._successor = [True]
        self._line, self._position = (_Line(None), 0) if before is None else before.next_place()

    def came_of(self, other: Thought) -> bool:
        """Whether this step was made in sight of the other one, or is it."""
        line, position = self._line, self._position
        while line is not other._line:
            if line.above is None:
                return False
            line, position = line.above
        return position >= other._position

    def next_place(self) -> _Place:
        """Where a step stands that is made in sight of this one."""
        try:
            # Taking the one token is atomic: of two threads, one continues the line.
            self._successor.pop()
        except IndexError:
            return _Line((self._line, self._position)), 0
        return self._line, self._position + 1


own_thought: Final[ContextVar[Thought | None]] = ContextVar("forewarn_thought", default=None)
"""The latest step made in this context, or in the one that it was copied from; possibly another agent's."""
