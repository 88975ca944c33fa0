"""
Reasoning: why an agent does what it is about to do, on record before it does it.

`forewarn.reason(text)` records a step at once; it ends when it begins. Used as a context manager it covers a thinking
step: what happens within nests under it, and a later record with the step's real end replaces the first one.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from forewarn.agents import NOBODY, Caller, current_caller
from forewarn.configuration import current
from forewarn.conventions import OPERATION_NAME, OPERATION_REASON, REASONING
from forewarn.recording.interface import FrameKind
from forewarn.recording.records import Closing, Opening, Reasoning, template
from forewarn.recording.wire import attribute
from forewarn.redaction import redact_cut
from forewarn.thoughts import Thought, own_thought

LONGEST_TEXT: Final = 8_192
_TEMPLATE: Final = template(OPERATION_REASON, {OPERATION_NAME: OPERATION_REASON})


def latest_reasoning(caller: Caller) -> Reasoning | None:
    """The reasoning that led to the call that this agent makes now, as far as that can be told (see `thoughts`)."""
    latest, own = caller.latest, own_thought.get()
    if own is not None and own.caller is caller and (latest is None or not latest.came_of(own)):
        return own.reasoning
    return None if latest is None else latest.reasoning


class Step:
    """A recorded reasoning step; made by `forewarn.reason`."""

    def __init__(self, text: str) -> None:
        self._runtime = runtime = current()
        caller = current_caller()
        text, self._redacted = redact_cut(str(text), LONGEST_TEXT)
        started_ns = runtime.clock_ns()
        attributes = {OPERATION_NAME: OPERATION_REASON, REASONING: text, **caller.attributes}
        self._span = runtime.spans.open(OPERATION_REASON, attributes, started_ns)
        self._opening = Opening(self._span.ids, _TEMPLATE, started_ns, caller.encoded, attribute(REASONING, text))
        self._record(started_ns)
        before = own_thought.get()
        before = before if before is not None and before.caller is caller else None
        thought = Thought(caller, Reasoning.of(text, self._span.ids, started_ns), before)
        own_thought.set(thought)
        # Outside of any agent there is nobody to remember it for others: there it only follows the context.
        if caller is not NOBODY:
            caller.latest = thought

    def __enter__(self) -> Self:
        self._span.__enter__()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._span.__exit__()
        self._record(self._runtime.clock_ns(), error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _record(self, ended_ns: int, error: BaseException | None = None) -> None:
        self._runtime.keep_built(FrameKind.OTHER, lambda number: self._end(number, ended_ns, error))

    def _end(self, sequence: int, ended_ns: int, error: BaseException | None) -> bytes:
        closing = Closing(None, error=error, redacted=self._redacted)
        # The application's span ends with the first record: nobody can tell whether a `with` follows.
        self._span.end(ended_ns, closing.span_attributes)
        return self._opening.end_record(sequence, ended_ns, closing.fields)


def reason(text: str) -> Step:
    """
    Put a reasoning step of the current agent on record, redacted; the tool calls that follow refer to it.

    Works as a statement, and as `with forewarn.reason(...)` around the step that it describes.
    """
    return Step(text)
