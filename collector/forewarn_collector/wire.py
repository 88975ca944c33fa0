"""
What protobuf understands of a request, so that nobody behind the gateway has to understand more.

Protobuf reads over a known field of the wrong wire type, as over a field of a newer OTLP, and takes the last of two
members of a oneof; the store's engine refuses a batch for each of these. Both are told from a clean body by its size:
written anew it is as long as it came. That is found at the speed of C, at any depth; only then is a body looked into.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_NAMED_BYTES: Final = 1 << 10
"""Unknown fields are listed one by one only where they are few: a million of them would hold the interpreter."""
_NAMED_MESSAGES: Final = 10_000
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


@dataclass(frozen=True, slots=True)
class Understood:
    """A request as protobuf reads it, and bytes that say this and nothing else."""

    request: ExportTraceServiceRequest
    value: bytes
    """As it came where that is clean, else written anew."""
    unread: int
    """How many bytes of it protobuf read over."""

    @classmethod
    def of(cls, value: bytes) -> Understood:
        """Raises `DecodeError`."""
        request = ExportTraceServiceRequest.FromString(value)
        request.DiscardUnknownFields()
        size = request.ByteSize()
        if size == len(value):
            return cls(request, value, 0)
        return cls(request, request.SerializeToString(), ExportTraceServiceRequest.FromString(value).ByteSize() - size)


def wrong_field(value: bytes, unread: int) -> str | None:
    """The first field, down to the spans, whose wire type is wrong; None where none is, or there is much to look at."""
    if not 0 < unread <= _NAMED_BYTES:
        return None
    for message in islice(_outer_messages(ExportTraceServiceRequest.FromString(value)), _NAMED_MESSAGES):
        kind, unknown = message.DESCRIPTOR, UnknownFieldSet(message)
        for number in (unknown[index].field_number for index in range(len(unknown))):
            if number in kind.fields_by_number:
                return f"{kind.name}.{kind.fields_by_number[number].name} has the wrong wire type"
    return None


def _outer_messages(request: ExportTraceServiceRequest) -> Iterator[Message]:
    yield request
    for resource_spans in request.resource_spans:
        yield resource_spans
        yield resource_spans.resource
        for scope_spans in resource_spans.scope_spans:
            yield scope_spans
            yield scope_spans.scope
            yield from scope_spans.spans


def field_at(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, beginning of the content, and end of the field that begins here; raises `DecodeError` and `IndexError`."""
    tag, at = data[at], at + 1
    if tag > 0x7F:
        tag, at = _number(data, at - 1)
    kind = tag & 7
    if kind == _LENGTH_DELIMITED:
        length, at = data[at], at + 1
        if length > 0x7F:
            length, at = _number(data, at - 1)
        return tag, at, at + length
    if kind == _VARINT:
        return tag, at, _number(data, at)[1]
    if kind in {_FIXED32, _FIXED64}:
        return tag, at, at + (4 if kind == _FIXED32 else 8)
    raise DecodeError("a field of a wire type that OTLP does not have")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    number = 0
    for place in range(_LONGEST_VARINT):
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte <= 0x7F:
            return number, at + place + 1
    raise DecodeError("a number that does not end")
