"""
OTLP/JSON to protobuf.

It is protobuf's own JSON with one exception: ids of traces and spans are hexadecimal, not base64
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Unknown fields are ignored, as OTLP asks.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn_collector.gateway.errors import BadPayload

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


def request_from_json(body: bytes) -> ExportTraceServiceRequest:
    """The request that a JSON body says; raises `BadPayload` with the place where it does not make sense."""
    try:
        document = json.loads(body)
        for span in _spans(document):
            _read_ids(span)
            for link in _listed(span, "links"):
                _read_ids(link)
        request = ExportTraceServiceRequest()
        ParseDict(document, request, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadPayload(
            f"The body is not readable as OTLP/JSON: {str(error)[:300]}",
            do="Send ids as hexadecimal, 64-bit integers as strings, bytes as base64; never send this body again.",
        ) from error
    return request


def _spans(document: Any) -> list[Any]:
    if not isinstance(document, dict):
        raise ValueError("the body must be an object with resourceSpans")
    return [
        span
        for resource in _listed(document, "resourceSpans", "resource_spans")
        for scope in _listed(resource, "scopeSpans", "scope_spans")
        for span in _listed(scope, "spans")
    ]


def _listed(holder: Any, *names: str) -> list[dict[str, Any]]:
    """The objects under either spelling of a field; what is no list of objects is left for the parser to refuse."""
    return [entry for name in names for entry in _as_list(holder.get(name)) if isinstance(entry, dict)]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_ids(holder: dict[str, Any]) -> None:
    """Hexadecimal to what protobuf's JSON expects; whether an id is one is decided as for every other form."""
    for name in holder.keys() & _IDS:
        if holder[name]:
            holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()
