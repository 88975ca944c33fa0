"""
Records: a span's start and end as OTLP bytes, made from templates.

What is known when a tool is declared or an agent is entered is encoded then; a call only adds its ids, times and
arguments. The end record repeats everything that the start record said, so that the later one can replace the earlier.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

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
from forewarn.recording.interface import Attributes
from forewarn.recording.wire import (
    attribute,
    attribute_prefix,
    field,
    fixed64,
    int_attribute_head,
    status_error,
    text_attribute,
    varint_of_count,
    varint_of_time,
)

_START: Final = attribute(RECORD, RecordKind.START.value)
_OK: Final = Outcome.OK
_OUTCOMES: Final[dict[Outcome | None, bytes]] = {None: b"", **{one: attribute(OUTCOME, one.value) for one in Outcome}}
# Looking a member up on its enum, or by its hash, costs as much as a call.
_ENDED_OK: Final = _OUTCOMES[_OK]
_SEQUENCE_HEADS: Final = [int_attribute_head(SEQUENCE, size) for size in range(11)]
_ARGUMENTS: Final = attribute_prefix(TOOL_CALL_ARGUMENTS)
_RESULT: Final = attribute_prefix(TOOL_CALL_RESULT)
_DIGEST_HEAD: Final = attribute(CALL_DIGEST, "0" * 64)[:-64]
"""A digest's attribute up to the digest, which is always 64 digits."""
_STARTED_HEAD: Final = int_attribute_head(TOOL_STARTED_AT, 9)


SpanIds: TypeAlias = "tuple[bytes, bytes, bytes]"
"""Which span a record is of: trace, span and parent; the last is empty for the first span of a trace."""


class Template(NamedTuple):
    """What all records of one tool, one agent or one kind share: the fields of the name and kind, and attributes."""

    name_and_kind: bytes
    attributes: bytes


def template(name: str, attributes: Attributes) -> Template:
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
        span_id = ids[1].hex()
        encoded = (attribute(REASONING, text), attribute(REASONING_SPAN_ID, span_id), attribute(REASONING_AT, at_ns))
        return cls(text, span_id, at_ns, b"".join(encoded))


class Opening:
    """One span's start, encoded: kept as long as the span is open, because its end says it all again."""

    __slots__ = ("body", "head")

    def __init__(self, ids: SpanIds, shape: Template, started_ns: int, *encoded: bytes) -> None:
        """`encoded` are attributes beside the template's."""
        trace, span, parent = ids
        above = b"\x22\x08" if parent else b""
        name_and_kind, attributes = shape
        head = (b"\x0a\x10", trace, b"\x12\x08", span, above, parent, name_and_kind, b"\x39", fixed64(started_ns))
        self.head = b"".join(head)
        self.body = b"".join((attributes, *encoded))

    def start_record(self, sequence: int, *, redacted: int = 0, cut: int = 0) -> bytes:
        """The span as it starts: without an end time, marked as a start."""
        number = varint_of_count(sequence)
        counted = _counts(redacted, cut) if redacted or cut else b""
        return b"".join((self.head, self.body, _SEQUENCE_HEADS[len(number)], number, _START, counted))

    def end_record(self, sequence: int, ended_ns: int, *closing: bytes) -> bytes:
        """The span as it ended; `closing` are the fields that only its end has."""
        number = varint_of_count(sequence)
        ended = (self.head, b"\x41", fixed64(ended_ns), self.body, _SEQUENCE_HEADS[len(number)], number)
        return b"".join((*ended, *closing))


def call_attributes(arguments: str, digest: str) -> tuple[bytes, bytes, bytes]:
    """What both records of a call say of its arguments."""
    return text_attribute(_ARGUMENTS, arguments.encode()), _DIGEST_HEAD, digest.encode()


def _counts(redacted: int, cut: int) -> bytes:
    return (attribute(REDACTED, redacted) if redacted else b"") + (attribute(TRUNCATED, cut) if cut else b"")


class Closing:
    """How a span ended: what only its end says. The counts are of the whole record, the start's included."""

    __slots__ = ("fields", "message", "span_attributes")

    def __init__(
        self,
        outcome: Outcome | None,
        *,
        error: BaseException | None = None,
        result: Encoded | None = None,
        redacted: int = 0,
        cut: int = 0,
    ) -> None:
        encoded = _OUTCOMES[outcome]
        self.message: str | None = None
        self.span_attributes: dict[str, str] | None = None
        """For the application's span: nothing if all is well, as is OpenTelemetry's custom."""
        if result is not None:
            text, hidden, missing = result
            encoded += text_attribute(_RESULT, text.encode())
            redacted += hidden
            cut += missing
        if outcome is not None and outcome is not _OK:
            self.span_attributes = {OUTCOME: outcome.value}
        # An abandoned generator was not needed any more; nothing went wrong.
        if error is not None and not isinstance(error, GeneratorExit):
            error_type = type_of_error(error)
            self.span_attributes = {**(self.span_attributes or {}), ERROR_TYPE: error_type}
            self.message, hidden = message_of_error(error)
            redacted += hidden
            encoded += attribute(ERROR_TYPE, error_type) + status_error(self.message)
        self.fields = encoded + _counts(redacted, cut) if redacted or cut else encoded


def ended_ok(result: Encoded, redacted: int, cut: int) -> bytes:
    """What the end of a call says that is well: `Closing.fields` of it, quicker."""
    text, hidden, missing = result
    fields = _ENDED_OK + text_attribute(_RESULT, text.encode())
    redacted += hidden
    cut += missing
    return fields + _counts(redacted, cut) if redacted or cut else fields


def tool_started(started_ns: int) -> bytes:
    """When the tool's own code began to run."""
    return _STARTED_HEAD + varint_of_time(started_ns)


def acknowledged(at_ns: int, decision: str) -> bytes:
    """When somebody else had the record, and what was decided of the call."""
    return attribute(ACKNOWLEDGED_AT, at_ns) + attribute(DECISION, decision)
