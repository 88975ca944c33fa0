"""
THE ROAD of a call: open -> on record -> decided -> run -> close.

The road reads the same for every kind of tool; the drivers in `drivers` take it, each in the manner of its kind:

    call = opened(tool, values, runtime)              ids, span, digest and reasoning are known; this never fails
    try:
        if (request := call.put_on_record()):         spooled; or it must be acknowledged,
            call.clear(answer to the request)         and Refusal is raised if the tool must not run
        with call.span:
            result = the tool
    except BaseException as error:
        call.fail(error)                              every way out leaves an end record
        raise
    call.finish(result)

* The record is durable before the tool runs: spooled, or acknowledged by the gateway together with a decision.
* What is recorded is what runs: the values come from the one binding that the tool is called with.
* Every way out leaves an end record, and trouble with that record is never the tool's trouble: a record that cannot be
  built leaves its number as a known loss.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

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
from forewarn.outcomes import outcome_of, unread
from forewarn.reasoning import latest_reasoning
from forewarn.recording.interface import Acknowledgement, Attributes, FrameKind, Unacknowledged
from forewarn.recording.records import (
    Closing,
    Opening,
    Reasoning,
    acknowledged,
    call_attributes,
    ended_ok,
    tool_started,
)
from forewarn.runtime import Runtime
from forewarn.troubles import told

_log = logging.getLogger("forewarn")


@dataclass(slots=True)
class Streamed:
    """What a generator has yielded so far: how many items, and the first few."""

    items: int = 0
    first: list[Any] = field(default_factory=list)

    def add(self, item: object) -> None:
        self.items += 1
        if self.items <= _ITEMS_KEPT:
            self.first.append(item)


_ITEMS_KEPT: Final = 5
# Looking a member up on its enum costs as much as a call; every call would pay that several times.
_START, _OTHER = FrameKind.START, FrameKind.OTHER
_OK: Final = Outcome.OK
_NONE: Final[Attributes] = {}
_YET_TO_RUN: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)


def opened(tool: Declaration, values: dict[str, object], runtime: Runtime) -> Call | Unrecorded:
    """
    One call, from its bound arguments: as it is, or without a look at its arguments, or unrecorded.

    Raises nothing of ours. An interrupt while the arguments are read may be real, so it passes, and the call that it
    ended is on record.
    """
    try:
        return Call(tool, values, runtime)
    # Here and below: the boundary between recording and the tool.
    except Exception as error:  # noqa: BLE001
        _log.error("Forewarn could not read the arguments of %s. %s", tool.name, told(error))
    except BaseException as error:
        Call(tool, _unseen(values), runtime).fail(error)
        raise
    try:
        return Call(tool, _unseen(values), runtime)
    except Exception as error:  # noqa: BLE001
        _log.error("Forewarn could not build the record of a call of %s. %s", tool.name, told(error))
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

    def put_on_record(self) -> None:
        """Return if the call may run all the same; raise Refusal if not."""
        policy = self._runtime.policy
        if policy.strict and policy.must_be_acknowledged(self._tool.effect):
            reason = f"building its record failed with {self._trouble}"
            raise NotRecorded(tool=self._tool.name, reason=reason, remedy="the log of this program says what happened.")

    def clear(self, answer: Acknowledgement | Unacknowledged) -> None:
        """Nothing was asked."""

    def fail(self, error: BaseException) -> None:
        """There is nothing to say it of."""

    def finish(self, result: object) -> None:
        """There is nothing to say it of."""


class Call:
    """One call while it is under way."""

    __slots__ = (
        "_cut",
        "_decided",
        "_is_on_record",
        "_opening",
        "_redacted",
        "_refusal",
        "_runtime",
        "_start",
        "_start_sequence",
        "_started_ns",
        "_tool",
        "span",
        "streamed",
    )

    def __init__(self, tool: Declaration, values: dict[str, object], runtime: Runtime) -> None:
        opened_ns = runtime.clock_ns()
        caller = current_caller()
        reasoning = latest_reasoning(caller)
        arguments, canonical = encode_arguments(values, ordinary_names=tool.ordinary_names, paths=tool.paths)
        text, self._redacted, self._cut = arguments
        digest = _digest(tool, canonical, caller, runtime)
        spans = runtime.spans
        attributes = _span_attributes(tool, caller, text, reasoning) if spans.has_readers else _NONE
        self.span = span = spans.open(tool.span_name, attributes, opened_ns)
        reasoned = b"" if reasoning is None else reasoning.encoded
        called = call_attributes(text, digest)
        self._opening = Opening(span.ids, tool.template, opened_ns, caller.encoded, *called, reasoned)
        self._runtime = runtime
        self._tool = tool
        self._start = b""
        self._start_sequence = 0
        self._is_on_record = False
        self._decided = b""
        self._started_ns = 0
        self._refusal: Refusal | None = None
        self.streamed: Streamed | None = None

    def put_on_record(self) -> bytes | None:
        """Spool that the call begins. If somebody else must have that first, return the request to be acknowledged."""
        runtime = self._runtime
        if runtime.policy.must_be_acknowledged(self._tool.effect):
            return runtime.request(self._start_record())
        self._spool_start()
        self._started_ns = runtime.clock_ns()
        return None

    def clear(self, answer: Acknowledgement | Unacknowledged) -> None:
        """Return if the call may run by this answer; raise Refusal if not."""
        if isinstance(answer, Acknowledgement):
            self._is_on_record = True
            self._decided = acknowledged(self._runtime.clock_ns(), answer.decision)
            if answer.decision != Decision.ALLOW:
                self._refusal = Refused(
                    tool=self._tool.name, decision=answer.decision, rule=answer.rule, reason=answer.reason
                )
                raise self._refusal
        elif self._runtime.policy.strict:
            self._refusal = NotRecorded(tool=self._tool.name, reason=answer.reason, remedy=answer.remedy)
            raise self._refusal
        else:
            _log.warning(
                "Forewarn: %s (%s) runs though its record is not acknowledged: %s. In production it would be refused.",
                self._tool.name,
                self._tool.effect,
                answer.reason,
            )
            self._spool_start()
        self._started_ns = self._runtime.clock_ns()

    def finish(self, result: object) -> None:
        """The tool has returned."""
        # What hands back something yet to be run has not done its work where we can see it.
        self._end(Outcome.NOT_OBSERVED if isinstance(result, _YET_TO_RUN) else _OK, result, None)

    def fail(self, error: BaseException) -> None:
        """The call has ended with an error, the tool's or a refusal."""
        self._end(Outcome.REFUSED if error is self._refusal else outcome_of(error), None, error)

    def _spool_start(self) -> None:
        self._is_on_record = True
        try:
            record = self._start_record()
        except Exception as trouble:  # noqa: BLE001
            self._scar(self._start_sequence, trouble)
        else:
            self._runtime.keep(_START, record, self._start_sequence, self._tool.effect)

    def _end(self, outcome: Outcome, result: object, error: BaseException | None) -> None:
        """Write the end record. Whatever goes wrong in here, the call has ended as it has."""
        if not self._is_on_record:
            self._spool_start()
        sequence = self._runtime.next_sequence()
        try:
            self._close(sequence, outcome, result, error)
        # The call is over: trouble with its record is ours, and must not look like the tool's.
        except Exception as trouble:  # noqa: BLE001
            self._scar(sequence, trouble)
        # An interrupt while result or error were read: it passes, and the end is on record with their types.
        except BaseException:
            if self.streamed is not None:
                self.streamed.first = [Unseen(item) for item in self.streamed.first]
            self._close(sequence, outcome, Unseen(result), error and unread(error))
            raise

    def _close(self, sequence: int, outcome: Outcome, result: object, error: BaseException | None) -> None:
        if self.streamed is not None:
            result = {"items": self.streamed.items, "first": self.streamed.first}
        runtime = self._runtime
        ended_ns = runtime.clock_ns()
        if outcome is _OK:
            fields = ended_ok(encode_result(result, self._tool.paths), self._redacted, self._cut)
            self.span.end(ended_ns)
        else:
            encoded = encode_result(result, self._tool.paths) if error is None or self.streamed is not None else None
            closing = Closing(outcome, error=error, result=encoded, redacted=self._redacted, cut=self._cut)
            fields = closing.fields
            self.span.end(ended_ns, closing.span_attributes, error=closing.message)
        started = tool_started(self._started_ns) if self._started_ns else b""
        record = self._opening.end_record(sequence, ended_ns, fields, started, self._decided)
        runtime.keep(_OTHER, record, sequence, self._tool.effect)

    def _start_record(self) -> bytes:
        """The same record each time: it may be sent to be acknowledged and, when that fails, be spooled as well."""
        if not self._start:
            self._start_sequence = sequence = self._runtime.next_sequence()
            self._start = self._opening.start_record(sequence, redacted=self._redacted, cut=self._cut)
        return self._start

    def _scar(self, sequence: int, trouble: Exception) -> None:
        """The record of this number could not be built: say so, here and on record."""
        _log.error("Forewarn could not build a record of %s. %s", self._tool.name, told(trouble))
        self._runtime.losses.note(LossReason.NOT_BUILT, [sequence], self._tool.effect)


def _span_attributes(tool: Declaration, caller: Caller, arguments: str, reasoning: Reasoning | None) -> Attributes:
    attributes = {**tool.span_attributes, **caller.attributes, TOOL_CALL_ARGUMENTS: arguments}
    if reasoning is not None:
        attributes[REASONING] = reasoning.text
        attributes[REASONING_SPAN_ID] = reasoning.span_id
        attributes[REASONING_AT] = reasoning.at_ns
    return attributes


def _digest(tool: Declaration, canonical: bytes, caller: Caller, runtime: Runtime) -> str:
    """SHA-256 over the RFC 8785 form of {agent_path, arguments, environment, tool}, put together from its parts."""
    form = (caller.digest_prefix, canonical, runtime.digest_infix, tool.digest_suffix)
    return sha256(b"".join(form)).hexdigest()
