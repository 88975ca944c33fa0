"""
From the bytes of a request to the bytes that are stored: decompressed within a bound, readable, protobuf.

What came as protobuf is stored byte for byte, unless it holds what protobuf reads over: then, what protobuf understood.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import SERVICE_INSTANCE_ID
from forewarn_collector.gateway.asgi import Scope, header, too_large
from forewarn_collector.gateway.errors import BadPayload, UnknownMediaType
from forewarn_collector.gateway.otlp_json import request_from_json
from forewarn_collector.wire import Understood, wrong_field

_GZIP_WINDOW: Final = 31
"""zlib's way of saying: gzip header and trailer, nothing else."""
_GZIP_MEMBERS: Final = 1024
"""Whoever joins compressed files sends a few; each costs a decompressor of its own."""
_GZIP_SLICE: Final = 16 << 10
"""What is fed at once: zlib copies what of it lies behind the end of a member."""
_SPANS_LOOKED_AT: Final = 64
"""A request of more spans gets its sender as key, without looking whether all are of one trace."""


class MediaType(StrEnum):
    """The two forms of OTLP over HTTP."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Form:
    """How a request's body is written, as its headers say."""

    media_type: MediaType
    gzipped: bool

    @classmethod
    def of(cls, scope: Scope) -> Form:
        """Read the headers; raises `UnknownMediaType`."""
        media_type = header(scope, b"content-type").partition(";")[0].strip().lower()
        if media_type not in set(MediaType):
            raise UnknownMediaType(
                f"The content type {media_type!r} is not spoken here.",
                do=f"Send {MediaType.PROTOBUF} or {MediaType.JSON}.",
            )
        encoding = header(scope, b"content-encoding").lower()
        if encoding not in {"", "identity", "gzip"}:
            raise UnknownMediaType(
                f"The content encoding {encoding!r} is not spoken here.", do="Send gzip, or no content encoding."
            )
        return cls(MediaType(media_type), encoding == "gzip")


@dataclass(frozen=True, slots=True)
class Payload:
    """A request that can be stored."""

    value: bytes
    """Protobuf, ready for the log."""
    request: ExportTraceServiceRequest
    key: bytes


def read_payload(raw: bytes, form: Form, *, limit: int) -> Payload:
    """Everything between the body as sent and the log; raises `BadPayload` and `TooLarge`."""
    body = decompressed(raw, limit=limit) if form.gzipped else raw
    if form.media_type is MediaType.JSON:
        request = request_from_json(body)
        return Payload(request.SerializeToString(), request, _key(request))
    found = _understood(body)
    return Payload(found.value, found.request, _key(found.request))


def decompressed(raw: bytes, *, limit: int) -> bytes:
    """What a gzip body holds (all of its members), never making more than `limit` bytes of it."""
    chunks: list[bytes] = []
    rest, size, members = memoryview(raw), 0, 0
    try:
        while rest:
            members += 1
            if members > _GZIP_MEMBERS:
                raise _not_gzip(f"it has more than {_GZIP_MEMBERS} members")
            member = zlib.decompressobj(_GZIP_WINDOW)
            while not member.eof:
                if not rest:
                    raise _not_gzip("it ends too early")
                fed = rest[:_GZIP_SLICE]
                chunk = member.decompress(fed, limit - size + 1)
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                chunks.append(chunk)
                rest = rest[len(fed) - len(member.unused_data) :]
    except zlib.error as error:
        raise _not_gzip(str(error)) from error
    return b"".join(chunks)


def _not_gzip(why: str) -> BadPayload:
    return BadPayload(
        f"The body is not the gzip it is said to be: {why}.", do="Compress the whole body, or not at all."
    )


def _understood(body: bytes) -> Understood:
    try:
        found = Understood.of(body)
    except DecodeError as error:
        raise _not_otlp("The body is not a readable ExportTraceServiceRequest.") from error
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
    for resource in request.resource_spans[:1]:
        for attribute in resource.resource.attributes:
            if attribute.key == SERVICE_INSTANCE_ID:
                sender: str = attribute.value.string_value
                return sender.encode()
    return b""
