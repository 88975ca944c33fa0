"""
THE ROAD of a call: open -> on record -> decided -> run -> close.

`travel` is the road, once for all kinds of tools: a generator that does no waiting and no running itself, but yields
what is to be done next and is resumed with what came of it. The four drivers in `drivers` do it, each in the manner of
its kind of tool (plain, coroutine, generator, async generator).

* The record is durable before the tool runs: spooled, or acknowledged by the gateway together with a decision.
* What is recorded is what runs: the values come from the one binding that the tool is called with.
* Every way out leaves an end record, and trouble with that record is never the tool's trouble: a record that cannot be
  built leaves its number as a known loss.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, TypeAlias

from forewarn.agents import Caller, current_caller
from forewarn.conventions import (
    REASONING,
    REASONING_AT,
    REASONING_SPAN_ID,
    TOOL_CALL_ARGUMENTS,
    Decision,
    LossReason,
    Outcome,
)
from forewarn.declarations import Declaration
from forewarn.encoding import Unseen, encode_arguments, encode_result
from forewarn.errors import NotRecorded, Refusal, Refused
from forewarn.outcomes import outcome_of
from forewarn.reasoning import latest_reasoning
from forewarn.recording.interface import Acknowledgement, FrameKind, Unacknowledged
from forewarn.recording.records import Closing, acknowledged, call_attributes, opening, tool_started
from forewarn.runtime import Runtime

_log = logging.getLogger("forewarn")


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A step: have this request acknowledged, and come back with the answer."""

    request: bytes


@dataclass(slots=True)
class Streamed:
    """What a generator has yielded so far: how many items, and the first few."""

    items: int = 0
    first: list[Any] = field(default_factory=list)

    def add(self, item: object) -> None:
        self.items += 1
        if self.items <= _ITEMS_KEPT:
            self.first.append(item)


Step: TypeAlias = "Acknowledge | Call | Unrecorded"
"""A call itself is the step `run it now`."""
Road: TypeAlias = Generator[Step, Any, None]
_ITEMS_KEPT: Final = 5
# Looking a member up on its enum costs as much as a call; every call would pay that several times.
_START, _OTHER = FrameKind.START, FrameKind.OTHER
_OK: Final = Outcome.OK


def travel(tool: Declaration, values: dict[str, object], runtime: Runtime) -> Road:
    """
    Take one call from its bound arguments to its end record.

    Raises Refusal if the tool must not run, and what ended the call before the tool could. The tool's own error is
    thrown in, recorded, and left to the driver.
    """
    try:
        call = _opened(tool, values, runtime)
    # An interrupt while the arguments were read: it may be real, so it passes, and the call that it ended is on record.
    except BaseException as error:
        call = Call(tool, _unseen(values), runtime)
        call.close(call.outcome_of(error), error=error)
        raise
    if isinstance(call, Unrecorded):
        call.clear()
        yield call
        return
    try:
        if call.must_be_acknowledged():
            call.clear((yield Acknowledge(call.request())))
        else:
            call.spool_start()
        call.started_ns = runtime.clock_ns()
        result = yield call
    except BaseException as error:
        call.close(call.outcome_of(error), error=error)
        if call.started_ns is None:
            raise
        return
    call.close(_outcome_of_result(result), result=result)


def _opened(tool: Declaration, values: dict[str, object], runtime: Runtime) -> Call | Unrecorded:
    """Whatever goes wrong on our side, there is a call: as it is, or without a look at its arguments, or unrecorded."""
    try:
        return Call(tool, values, runtime)
    # Here and below: the boundary between recording and the tool.
    except Exception:  # noqa: BLE001
        _log.exception("Forewarn could not read the arguments of %s.", tool.name)
    try:
        return Call(tool, _unseen(values), runtime)
    except Exception as error:  # noqa: BLE001
        _log.exception("Forewarn could not build the record of a call of %s.", tool.name)
        return Unrecorded(tool, runtime, error)


def _unseen(values: dict[str, object]) -> dict[str, object]:
    return {name: Unseen(value) for name, value in values.items()}


class Unrecorded:
    """A call whose record could not be built. Its number is a known loss."""

    def __init__(self, tool: Declaration, runtime: Runtime, trouble: Exception) -> None:
        self.span = nullcontext()
        self.streamed: Streamed | None = None
        self._tool = tool
        self._runtime = runtime
        self._trouble = type(trouble).__name__
        runtime.losses.note(LossReason.NOT_BUILT, [runtime.next_sequence()], tool.effect)

    def clear(self) -> None:
        """Return if the call may run all the same; raise Refusal if not."""
        policy = self._runtime.policy
        if policy.strict and policy.must_be_acknowledged(self._tool.effect):
            reason = f"building its record failed with {self._trouble}"
            raise NotRecorded(tool=self._tool.name, reason=reason, remedy="the log of this program says what happened.")


class Call:
    """One call while it is under way."""

    __slots__ = (
        "_cut",
        "_decided",
        "_is_on_record",
        "_opening",
        "_redacted",
        "_runtime",
        "_start",
        "_start_sequence",
        "_tool",
        "refusal",
        "span",
        "started_ns",
        "streamed",
    )

    def __init__(self, tool: Declaration, values: dict[str, object], runtime: Runtime) -> None:
        opened_ns = runtime.clock_ns()
        caller = current_caller()
        reasoning = latest_reasoning()
        arguments, canonical = encode_arguments(values, ordinary_names=tool.ordinary_names)
        text, self._redacted, self._cut = arguments
        attributes = {**tool.span_attributes, **caller.attributes, TOOL_CALL_ARGUMENTS: text}
        if reasoning is not None:
            attributes[REASONING] = reasoning.text
            attributes[REASONING_SPAN_ID] = reasoning.span_id
            attributes[REASONING_AT] = reasoning.at_ns
        self.span = runtime.spans.open(tool.span_name, attributes, opened_ns)
        self._opening = opening(
            self.span.ids,
            tool.template,
            opened_ns,
            caller.encoded,
            *call_attributes(text, _digest(tool, canonical, caller, runtime)),
            b"" if reasoning is None else reasoning.encoded,
        )
        self._runtime = runtime
        self._tool = tool
        self._start = b""
        self._start_sequence = 0
        self._is_on_record = False
        self._decided = b""
        self.started_ns: int | None = None
        self.refusal: Refusal | None = None
        self.streamed: Streamed | None = None

    def must_be_acknowledged(self) -> bool:
        """Whether this call's effect is such that it does not start before somebody else has its record."""
        return self._runtime.policy.must_be_acknowledged(self._tool.effect)

    def request(self) -> bytes:
        return self._runtime.request(self._start_record())

    def spool_start(self) -> None:
        self._is_on_record = True
        try:
            record = self._start_record()
        except Exception:  # noqa: BLE001
            self._scar(self._start_sequence)
        else:
            self._runtime.keep(_START, record, self._start_sequence, self._tool.effect)

    def clear(self, answer: Acknowledgement | Unacknowledged) -> None:
        """Return if the call may run by this answer; raise Refusal if not."""
        if isinstance(answer, Acknowledgement):
            self._is_on_record = True
            self._decided = acknowledged(self._runtime.clock_ns(), answer.decision)
            if answer.decision != Decision.ALLOW:
                self.refusal = Refused(
                    tool=self._tool.name, decision=answer.decision, rule=answer.rule, reason=answer.reason
                )
                raise self.refusal
        elif self._runtime.policy.strict:
            self.refusal = NotRecorded(tool=self._tool.name, reason=answer.reason, remedy=answer.remedy)
            raise self.refusal
        else:
            _log.warning(
                "Forewarn: %s (%s) runs though its record is not acknowledged: %s. In production it would be refused.",
                self._tool.name,
                self._tool.effect,
                answer.reason,
            )
            self.spool_start()

    def outcome_of(self, error: BaseException) -> Outcome:
        return Outcome.REFUSED if error is self.refusal else outcome_of(error)

    def close(self, outcome: Outcome, *, result: object = None, error: BaseException | None = None) -> None:
        """Write the end record. Whatever goes wrong in here, the call has ended as it has."""
        if not self._is_on_record:
            self.spool_start()
        sequence = self._runtime.next_sequence()
        try:
            self._close(sequence, outcome, result, error)
        # The call is over: trouble with its record is ours, and must not look like the tool's.
        except Exception:  # noqa: BLE001
            self._scar(sequence)
        # An interrupt while the result was read: it passes, and the end is on record with the result's type.
        except BaseException:
            if self.streamed is not None:
                self.streamed.first = [Unseen(item) for item in self.streamed.first]
            self._close(sequence, outcome, Unseen(result), error)
            raise

    def _close(self, sequence: int, outcome: Outcome, result: object, error: BaseException | None) -> None:
        if self.streamed is not None:
            result = {"items": self.streamed.items, "first": self.streamed.first}
        encoded = None if error is not None and self.streamed is None else encode_result(result)
        closing = Closing(outcome, error=error, result=encoded, redacted=self._redacted, cut=self._cut)
        runtime = self._runtime
        ended_ns = runtime.clock_ns()
        self.span.end(ended_ns, closing.span_attributes, error=closing.message)
        started = b"" if self.started_ns is None else tool_started(self.started_ns)
        record = self._opening.end_record(sequence, ended_ns, closing.fields, started, self._decided)
        runtime.keep(_OTHER, record, sequence, self._tool.effect)

    def _start_record(self) -> bytes:
        """The same record each time: it may be sent to be acknowledged and, when that fails, be spooled as well."""
        if not self._start:
            self._start_sequence = sequence = self._runtime.next_sequence()
            self._start = self._opening.start_record(sequence, redacted=self._redacted, cut=self._cut)
        return self._start

    def _scar(self, sequence: int) -> None:
        """The record of this number could not be built: say so, here and on record."""
        _log.exception("Forewarn could not build a record of %s.", self._tool.name)
        self._runtime.losses.note(LossReason.NOT_BUILT, [sequence], self._tool.effect)


def _digest(tool: Declaration, canonical: bytes, caller: Caller, runtime: Runtime) -> str:
    """SHA-256 over the RFC 8785 form of {agent_path, arguments, environment, tool}, put together from its parts."""
    form = (caller.digest_prefix, canonical, runtime.digest_infix, tool.digest_suffix)
    return sha256(b"".join(form)).hexdigest()


def _outcome_of_result(result: object) -> Outcome:
    """A tool that hands back something yet to be run has not done its work where we can see it."""
    is_yet_to_run = isinstance(result, (CoroutineType, GeneratorType, AsyncGeneratorType))
    return Outcome.NOT_OBSERVED if is_yet_to_run else _OK
