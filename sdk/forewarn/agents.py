"""
Agents: who is calling. `with forewarn.agent("janitor"):` names the caller of everything within, across awaits.

Agents nest: one entered inside another is its sub-agent, and its path says so (`janitor > cleaner`). The current agent
follows `contextvars`: into tasks, `asyncio.to_thread` and frameworks that copy the context, not into bare threads.

An agent remembers its latest reasoning in itself as well as in the context: frameworks run the model and the tools in
sibling tasks, and what was reasoned in one must be seen from the other (see `thoughts`).
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from forewarn.configuration import current
from forewarn.conventions import (
    AGENT_NAME,
    AGENT_PATH,
    AGENT_PATH_SEPARATOR,
    OPERATION_INVOKE_AGENT,
    OPERATION_NAME,
    TASK,
)
from forewarn.encoding import json_text
from forewarn.names import clean_name
from forewarn.outcomes import outcome_of
from forewarn.recording.interface import FrameKind
from forewarn.recording.records import Closing, Opening, template
from forewarn.recording.wire import attribute
from forewarn.redaction import redact_cut, redact_text
from forewarn.thoughts import Thought, own_thought

_LONGEST_TASK: Final = 4096


class Caller:
    """An agent as the records of its calls name it, encoded once. Without a name: nobody in particular."""

    __slots__ = ("attributes", "digest_prefix", "encoded", "latest", "name", "path")

    def __init__(self, name: str, above: Caller | None = None) -> None:
        self.name = name
        self.path: str = AGENT_PATH_SEPARATOR.join([above.path, name] if above and above.path else [name])
        self.attributes = {AGENT_NAME: name, AGENT_PATH: self.path} if name else {}
        self.encoded = b"".join(attribute(key, value) for key, value in self.attributes.items())
        self.digest_prefix = b'{"agent_path":%b,"arguments":' % json_text(self.path)
        self.latest: Thought | None = None


NOBODY: Final = Caller("")
_caller: ContextVar[Caller] = ContextVar("forewarn_caller", default=NOBODY)
current_caller = _caller.get


class Agent:
    """One run of one agent; made by `forewarn.agent`, used once."""

    def __init__(self, name: str, task: str | None = None) -> None:
        self._name = clean_name(redact_text(str(name))[0])
        self._task = task

    def __enter__(self) -> Self:
        self._runtime = runtime = current()
        caller = Caller(self._name, _caller.get())
        task, redacted = redact_cut(str(self._task or ""), _LONGEST_TASK)
        attributes: dict[str, str | int] = {
            OPERATION_NAME: OPERATION_INVOKE_AGENT,
            **caller.attributes,
            **({TASK: task} if task else {}),
        }
        name = f"{OPERATION_INVOKE_AGENT} {self._name}"
        started_ns = runtime.clock_ns()
        self._span = runtime.spans.open(name, attributes, started_ns)
        self._redacted = redacted
        self._opening = Opening(self._span.ids, template(name, attributes), started_ns)
        runtime.keep_built(FrameKind.START, lambda number: self._opening.start_record(number, redacted=redacted))
        self._token: Token[Caller] = _caller.set(caller)
        self._thought: Token[Thought | None] = own_thought.set(None)
        self._span.__enter__()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._span.__exit__()
        # Left in another context than it was entered in, as async generators are: that context is gone anyway.
        with suppress(ValueError):
            _caller.reset(self._token)
            own_thought.reset(self._thought)
        self._runtime.keep_built(FrameKind.OTHER, lambda number: self._end(number, error))

    def _end(self, sequence: int, error: BaseException | None) -> bytes:
        closing = Closing(outcome_of(error), error=error, redacted=self._redacted)
        ended_ns = self._runtime.clock_ns()
        self._span.end(ended_ns, closing.span_attributes, error=closing.message)
        return self._opening.end_record(sequence, ended_ns, closing.fields)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def agent(name: str, task: str | None = None) -> Agent:
    """
    Name the agent that makes the calls within this `with` (or `async with`) block.

    Inside another agent it is that one's sub-agent. `task` is what it was told to do; it goes on record, redacted.
    """
    return Agent(name, task)
