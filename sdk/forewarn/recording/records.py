"""
Records: a span's start and end as OTLP bytes, made from templates.

What is known when a tool is declared or an agent is entered is encoded then; a call only adds its ids, times and
arguments. The end record repeats everything that the start record said, so that the later one can replace the earlier.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from forewarn.conventions import (
    ACKNOWLEDGED_AT,
    CALL_DIGEST,
    DECISION,
    ERROR_TYPE,
    OUTCOME,
    REASONING,
    REASONING_AT,
    REASONING_SPAN_ID,
    RECORD,
    REDACTED,
    SEQUENCE,
    TOOL_CALL_ARGUMENTS,
    TOOL_CALL_RESULT,
    TOOL_STARTED_AT,
    TRUNCATED,
    Outcome,
    RecordKind,
)
from forewarn.encoding import Encoded
from forewarn.outcomes import message_of_error, type_of_error
from forewarn.recording.wire import (
    attribute,
    attribute_prefix,
    field,
    fixed64,
    int_attribute,
    status_error,
    text_attribute,
)

_START: Final = attribute(RECORD, RecordKind.START.value)
_OUTCOMES: Final = {outcome: attribute(OUTCOME, outcome.value) for outcome in Outcome}
_SEQUENCE: Final = attribute_prefix(SEQUENCE)
_ARGUMENTS: Final = attribute_prefix(TOOL_CALL_ARGUMENTS)
_RESULT: Final = attribute_prefix(TOOL_CALL_RESULT)
_DIGEST_HEAD: Final = attribute(CALL_DIGEST, "0" * 64)[:-64]
"""A digest's attribute up to the digest, which is always 64 digits."""
_STARTED: Final = attribute_prefix(TOOL_STARTED_AT)
_NO_END: Final = b"\x41" + fixed64(0)


class SpanIds(NamedTuple):
    """Which span a record is of; `parent` is empty for the first of a trace."""

    trace: bytes
    span: bytes
    parent: bytes = b""


class Template(NamedTuple):
    """What all records of one tool, one agent or one kind share: the fields of the name and kind, and attributes."""

    name_and_kind: bytes
    attributes: bytes


def template(name: str, attributes: dict[str, str | int]) -> Template:
    """Encode once what does not change from call to call. Kind is INTERNAL."""
    encoded = b"".join(attribute(key, value) for key, value in attributes.items())
    return Template(field(b"\x2a", name.encode("utf-8", "replace")) + b"\x30\x01", encoded)


class Reasoning(NamedTuple):
    """A reasoning step as the calls that follow it refer to it."""

    text: str
    span_id: str
    at_ns: int
    encoded: bytes

    @classmethod
    def of(cls, text: str, ids: SpanIds, at_ns: int) -> Reasoning:
        span_id = ids.span.hex()
        encoded = (attribute(REASONING, text), attribute(REASONING_SPAN_ID, span_id), attribute(REASONING_AT, at_ns))
        return cls(text, span_id, at_ns, b"".join(encoded))


class Opening(NamedTuple):
    """One span's start, encoded: kept as long as the span is open, because its end says it all again."""

    head: bytes
    body: bytes

    def start_record(self, sequence: int, *, redacted: int = 0, cut: int = 0) -> bytes:
        """The span as it starts: no end time, marked as a start."""
        counted = _counts(redacted, cut) if redacted or cut else b""
        return b"".join((self.head, _NO_END, self.body, int_attribute(_SEQUENCE, sequence), _START, counted))

    def end_record(self, sequence: int, ended_ns: int, closing: bytes = b"") -> bytes:
        """The span as it ended; `closing` are the fields that only its end has."""
        return b"".join((self.head, b"\x41", fixed64(ended_ns), self.body, int_attribute(_SEQUENCE, sequence), closing))


def opening(ids: SpanIds, shape: Template, started_ns: int, *encoded: bytes) -> Opening:
    """Join what is known of a span when it starts; `encoded` are attributes beside the template's."""
    trace, span, parent = ids
    above = b"\x22\x08" if parent else b""
    name_and_kind, attributes = shape
    head = (b"\x0a\x10", trace, b"\x12\x08", span, above, parent, name_and_kind, b"\x39", fixed64(started_ns))
    return Opening(b"".join(head), b"".join((attributes, *encoded)))


def call_attributes(arguments: str, digest: str) -> tuple[bytes, bytes, bytes]:
    """What both records of a call say of its arguments."""
    return text_attribute(_ARGUMENTS, arguments.encode()), _DIGEST_HEAD, digest.encode()


def _counts(redacted: int, cut: int) -> bytes:
    return (attribute(REDACTED, redacted) if redacted else b"") + (attribute(TRUNCATED, cut) if cut else b"")


class Closing:
    """How a span ended: what only its end record says. The counts are of the whole record, the start's included."""

    __slots__ = ("error_type", "fields", "message", "outcome", "result")

    def __init__(
        self,
        outcome: Outcome | None,
        *,
        error: BaseException | None = None,
        result: Encoded | None = None,
        redacted: int = 0,
        cut: int = 0,
    ) -> None:
        self.outcome = outcome
        self.result = None if result is None else result.text
        self.error_type: str | None = None
        self.message: str | None = None
        encoded = b"" if outcome is None else _OUTCOMES[outcome]
        if result is not None:
            encoded += text_attribute(_RESULT, result.text.encode())
            redacted += result.redacted
            cut += result.cut
        # An abandoned generator was not needed any more; nothing went wrong.
        if error is not None and not isinstance(error, GeneratorExit):
            self.error_type = type_of_error(error)
            self.message, hidden = message_of_error(error)
            redacted += hidden
            encoded += attribute(ERROR_TYPE, self.error_type) + status_error(self.message)
        self.fields = encoded + _counts(redacted, cut) if redacted or cut else encoded

    def attributes(self) -> dict[str, str]:
        """The same for the application's span."""
        attributes = {} if self.outcome is None else {OUTCOME: self.outcome.value}
        if self.result is not None:
            attributes[TOOL_CALL_RESULT] = self.result
        if self.error_type is not None:
            attributes[ERROR_TYPE] = self.error_type
        return attributes


def run_attributes(started_ns: int | None, acknowledged_ns: int | None, decision: str | None) -> bytes:
    """What a call's end record says of its way: when the tool began, when it was acknowledged, how decided."""
    encoded = b"" if started_ns is None else int_attribute(_STARTED, started_ns)
    if acknowledged_ns is not None:
        encoded += attribute(ACKNOWLEDGED_AT, acknowledged_ns)
    return encoded if decision is None else encoded + attribute(DECISION, decision)
