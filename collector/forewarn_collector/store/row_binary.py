"""
Small batches: decoded here and handed to the engine as finished rows.

The engine's own decoding costs next to nothing per span, and some 50 ms of one core per insert: the view that unfolds a
request is analysed anew each time. A batch of a few records is therefore decoded in Python, and its rows are written in
ClickHouse's RowBinary format. Tests hold both ways to the same rows; where Python cannot be sure of that
(`rows_of` returns None), the engine decides.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from forewarn.recording.wire import varint
from forewarn_collector.dialects.columns import NUMBER_COLUMNS, TEXT_COLUMNS, TIME_COLUMNS, VALUE_COLUMNS
from forewarn_collector.log.interface import Record
from forewarn_collector.store.decoding import KINDS, STATUS_CODES, span_rows
from forewarn_collector.tools.tool_list import ToolList

_UINT64: Final = struct.Struct("<Q").pack
_INT64: Final = struct.Struct("<q").pack


def _text(value: str) -> bytes:
    encoded = value.encode()
    return varint(len(encoded)) + encoded


def _texts(value: Mapping[str, str]) -> bytes:
    return varint(len(value)) + b"".join(_text(name) + _text(text) for name, text in value.items())


def _one_of(*names: str) -> Callable[[str], bytes]:
    numbers = {name: bytes([number]) for number, name in enumerate(names)}
    return numbers.__getitem__


COLUMNS: Final[Mapping[str, Callable[[Any], bytes]]] = {
    **dict.fromkeys(("ts", "received_at", *TIME_COLUMNS), _INT64),
    **dict.fromkeys(("duration_ns", "version", *NUMBER_COLUMNS), _UINT64),
    **dict.fromkeys(("trace_id", "span_id", "parent_span_id"), bytes),
    "record": _one_of("end", "start"),
    "kind": _one_of(*KINDS),
    "status_code": _one_of(*STATUS_CODES),
    **dict.fromkeys(("attributes", "resource"), _texts),
    **dict.fromkeys(
        ("name", "status_message", "service", "sender", "host", "environment", "environment_claimed"), _text
    ),
    **dict.fromkeys(
        ("key_id", *TEXT_COLUMNS, *VALUE_COLUMNS, "events", "links", "trace_state", "scope", "scope_version"), _text
    ),
}
"""Every column of `spans`, and how a value of it is written."""


def rows_of(records: Sequence[Record], tools: ToolList) -> bytes | None:
    """All spans of the records with the columns in the order of `COLUMNS`; None: let the engine read them."""
    try:
        if any(_names_twice(record.value) for record in records):
            return None
        rows = list(span_rows(records, tools))
    except (DecodeError, UnicodeDecodeError):
        return None
    return b"".join(write(row[name]) for row in rows for name, write in COLUMNS.items())


def _names_twice(value: bytes) -> bool:
    """Whether any list of attributes has one name twice: which of them counts is for the engine to say."""
    return any(map(_twice, _attribute_lists(ExportTraceServiceRequest.FromString(value))))


def _attribute_lists(request: ExportTraceServiceRequest) -> Iterator[Iterable[KeyValue]]:
    for resource_spans in request.resource_spans:
        yield resource_spans.resource.attributes
        for span in (span for scope_spans in resource_spans.scope_spans for span in scope_spans.spans):
            yield span.attributes
            yield from (event.attributes for event in span.events)
            yield from (link.attributes for link in span.links)


def _twice(attributes: Iterable[KeyValue]) -> bool:
    names = [attribute.key for attribute in attributes]
    return len(set(names)) < len(names)
