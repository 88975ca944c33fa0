"""
From the bytes of a request to the bytes that are stored: decompressed within a bound, readable, protobuf.

What came as protobuf is stored byte for byte, unless it holds what protobuf reads over: then, what protobuf understood.
A large request is read in pieces, and stored as several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import SERVICE_INSTANCE_ID
from forewarn_collector.gateway.compression import Coding, decompressed
from forewarn_collector.gateway.cutting import pieces
from forewarn_collector.gateway.errors import BadPayload, UnknownMediaType
from forewarn_collector.gateway.otlp_json import request_from_json
from forewarn_collector.gateway.partial import Rejected, leave_out_nameless
from forewarn_collector.gateway.redaction import Cleaning, Redactor
from forewarn_collector.wire import Understood, wrong_field

RECORD_BYTES: Final = 1 << 20
"""What of a large request becomes one record of the log: as much as one of its transactions holds."""
_SPANS_LOOKED_AT: Final = 64
"""A request of more spans gets its sender as key, without looking whether all are of one trace."""
_UNREADABLE: Final = "The body is not a readable ExportTraceServiceRequest."


class MediaType(StrEnum):
    """The two forms of OTLP over HTTP."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Form:
    """How a request's body is written."""

    media_type: MediaType
    coding: Coding

    @classmethod
    def named(cls, content_type: str, content_encoding: str) -> Form:
        """As the two headers of HTTP say; raises `UnknownMediaType`."""
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type not in set(MediaType):
            raise UnknownMediaType(
                f"The content type {media_type!r} is not spoken here.",
                do=f"Send {MediaType.PROTOBUF} or {MediaType.JSON}.",
            )
        return cls(MediaType(media_type), Coding.named(content_encoding))


@dataclass(frozen=True, slots=True)
class Whole:
    """A request that was read at once."""

    received: bytes
    """The body as its sender wrote it, decompressed: what an acknowledgement names."""
    request: ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Payload:
    """A request that can be stored."""

    values: tuple[bytes, ...]
    """Protobuf, ready for the log, a record each."""
    key: bytes
    rejected: Rejected
    redacted: int = 0
    whole: Whole | None = None
    """None where it was read in pieces."""

    @property
    def size(self) -> int:
        return sum(map(len, self.values))


def read_payload(raw: bytes, form: Form, redactor: Redactor, *, limit: int) -> Payload:
    """Everything between the body as sent and the log; raises `BadPayload` and `TooLarge`."""
    body = decompressed(raw, form.coding, limit=limit)
    sent = request_from_json(body).SerializeToString() if form.media_type is MediaType.JSON else body
    cleaning = redactor.cleaning()
    values, key, rejected = [], b"", Rejected(0)
    for cut in _cut(sent):
        piece = _Piece.of(cut, cleaning)
        values.append(piece.value)
        key = key or _sender(piece.request)
        rejected = Rejected(rejected.spans + piece.rejected.spans)
    if len(values) > 1:
        return Payload(tuple(_joined(values)), key, rejected, cleaning.count)
    return Payload(tuple(values), _key(piece.request), rejected, cleaning.count, Whole(body, piece.request))


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is read at once."""

    value: bytes
    request: ExportTraceServiceRequest
    rejected: Rejected

    @classmethod
    def of(cls, sent: bytes, cleaning: Cleaning) -> _Piece:
        found = _understood(sent)
        rejected = leave_out_nameless(found.request)
        value = found.request.SerializeToString() if rejected else found.value
        return cls(cleaning.clean(value, found.request), found.request, rejected)


def _cut(body: bytes) -> Iterator[bytes]:
    try:
        yield from pieces(body)
    except DecodeError as error:
        raise _not_otlp(_UNREADABLE) from error


def _joined(values: list[bytes]) -> Iterator[bytes]:
    """Requests one after the other are one request."""
    group: list[bytes] = []
    size = 0
    for value in values:
        if group and size + len(value) > RECORD_BYTES:
            yield b"".join(group)
            group, size = [], 0
        group.append(value)
        size += len(value)
    yield b"".join(group)


def _understood(body: bytes) -> Understood:
    try:
        found = Understood.of(body)
    except DecodeError as error:
        raise _not_otlp(_UNREADABLE) from error
    if fault := wrong_field(body, found.unread):
        raise _not_otlp(f"The body is not a well-formed ExportTraceServiceRequest: {fault}.")
    return found


def _not_otlp(why: str) -> BadPayload:
    return BadPayload(why, do="Send what an OpenTelemetry exporter sends to /v1/traces; never send this body again.")


def _key(request: ExportTraceServiceRequest) -> bytes:
    """The trace id where the request holds one trace, else who sent it: records of one key keep their order."""
    spans = [scope_spans.spans for resource in request.resource_spans for scope_spans in resource.scope_spans]
    if sum(map(len, spans)) <= _SPANS_LOOKED_AT:
        traces: set[bytes] = {span.trace_id for of_scope in spans for span in of_scope}
        if len(traces) == 1:
            return traces.pop()
    return _sender(request)


def _sender(request: ExportTraceServiceRequest) -> bytes:
    for resource in request.resource_spans[:1]:
        for attribute in resource.resource.attributes:
            if attribute.key == SERVICE_INSTANCE_ID:
                sender: str = attribute.value.string_value
                return sender.encode()
    return b""
