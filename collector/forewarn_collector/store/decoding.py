"""
Decoding requests in Python: the second opinion on what the engine's own decoding makes of the same bytes.

Only small batches come through here (`row_binary` says why). The tests compare both ways row by row, the benchmark
compares their cost, and the sink asks `request_fault` about records of a batch that the engine has refused.
`attribute_value` reads back the texts that stand for values without a text of their own (`otlp:<kind>;base64,...`).
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from forewarn import conventions as names
from forewarn.conventions import Stamp
from forewarn_collector.dialects.columns import (
    NUMBER_COLUMNS,
    RESOURCE_COLUMNS,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    VALUE_COLUMNS,
    VALUE_KINDS,
)
from forewarn_collector.dialects.reading import Reading, read_span
from forewarn_collector.dialects.table import OWN_SCOPE
from forewarn_collector.dialects.thoughts import thought
from forewarn_collector.log.interface import Record
from forewarn_collector.store.framing import received_unix_nano
from forewarn_collector.tools.tool_list import ToolList, verdict

_LIFTED_TEXTS: Final = {names.RECORD, *TEXT_COLUMNS.values()}
_LIFTED_VALUES: Final = set(VALUE_COLUMNS.values())
_LIFTED_NUMBERS: Final = {*NUMBER_COLUMNS.values(), *TIME_COLUMNS.values()}
_OF_EFFECT: Final = (names.EFFECT, names.EFFECT_SOURCE)
_MARK: Final = "otlp:"
_LARGEST: Final = (1 << 63) - 1
KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUS_CODES: Final = ("Unset", "Ok", "Error")


def request_fault(value: bytes) -> str | None:
    """Why these bytes are no OTLP request; None where they are one."""
    try:
        ExportTraceServiceRequest.FromString(value)
    except DecodeError as fault:
        return f"not an OTLP trace request: {fault}"
    return None


def span_rows(records: Iterable[Record], tools: ToolList) -> Iterator[dict[str, Any]]:
    """One row per span with every column of `spans`; times are Unix nanoseconds, ids are bytes."""
    for record in records:
        stamped = {
            "environment": record.headers.get(Stamp.ENVIRONMENT, b"").decode(),
            "key_id": record.headers.get(Stamp.KEY_ID, b"").decode(),
            "received_at": _time(received_unix_nano(record.headers, otherwise=record.timestamp_ns)),
        }
        for resource_spans in ExportTraceServiceRequest.FromString(record.value).resource_spans:
            told = _resource_columns(resource_spans) | stamped
            for scope_spans in resource_spans.scope_spans:
                scope = {"scope": scope_spans.scope.name, "scope_version": scope_spans.scope.version}
                yield from (_span_columns(span, told | scope, tools) for span in scope_spans.spans)


def _resource_columns(resource_spans: ResourceSpans) -> dict[str, Any]:
    told = _texts(resource_spans.resource.attributes)
    claim = names.DEPLOYMENT_ENVIRONMENT_NAME
    if claim not in told:
        claim = names.DEPLOYMENT_ENVIRONMENT
    columns: dict[str, Any] = {column: told.get(name, "") for column, name in RESOURCE_COLUMNS.items()}
    columns["environment_claimed"] = told.get(claim, "")
    lifted = {claim, *RESOURCE_COLUMNS.values()}
    return columns | {"resource": {name: text for name, text in told.items() if name not in lifted}}


def _span_columns(span: Span, told: dict[str, Any], tools: ToolList) -> dict[str, Any]:
    sent = {attribute.key: attribute.value for attribute in span.attributes}
    reading = read_span(span.name, sent, scope=told["scope"])
    start, end = span.start_time_unix_nano, 0 if reading.pending_parent else span.end_time_unix_nano
    return {
        "ts": _time(start),
        "duration_ns": max(0, end - start),
        "trace_id": _aligned(span.trace_id, 16),
        **_identity(span, reading),
        "record": "start" if end == 0 else "end",
        "version": end,
        "name": span.name,
        "kind": KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0],
        "status_code": STATUS_CODES[span.status.code] if 0 <= span.status.code < len(STATUS_CODES) else "Unset",
        "status_message": span.status.message,
        **_lifted(reading, told, tools),
        "events": _json(_event_objects(span)),
        "links": _json(_link_objects(span)),
        "trace_state": span.trace_state,
        **told,
    }


def _identity(span: Span, reading: Reading) -> dict[str, bytes]:
    if reading.pending_parent:
        parent = bytes.fromhex(reading.pending_parent)
        return {"span_id": _aligned(span.parent_span_id, 8), "parent_span_id": parent}
    return {"span_id": _aligned(span.span_id, 8), "parent_span_id": _aligned(span.parent_span_id, 8)}


def _lifted(reading: Reading, told: Mapping[str, str], tools: ToolList) -> dict[str, Any]:
    """The columns that are made of attributes, and the attributes that are in none of them."""
    texts, numbers, rest = _sorted_attributes(reading.said)
    columns = {
        **{column: texts.get(name, "") for column, name in (*TEXT_COLUMNS.items(), *VALUE_COLUMNS.items())},
        **{column: numbers.get(name, 0) for column, name in (*NUMBER_COLUMNS.items(), *TIME_COLUMNS.items())},
        "operation": reading.operation,
        "tool": reading.tool,
    }
    if told["scope"] != OWN_SCOPE and not columns["reasoning"]:
        columns["reasoning"] = thought(reading.said, reading.operation)
    if reading.is_call:
        listed = tools.effect(reading.tool, service=told["service"], environment=told["environment"])
        found = verdict(listed, effect=texts.get(names.EFFECT, ""), source=texts.get(names.EFFECT_SOURCE, ""))
        columns |= {"effect": found.effect, "effect_source": found.source}
        if found.is_corrected:
            rest |= {name: attribute_text(reading.said[name]) for name in _OF_EFFECT if name in texts}
    return {**columns, "attributes": rest}


def _sorted_attributes(said: Mapping[str, AnyValue]) -> tuple[dict[str, str], dict[str, int], dict[str, str]]:
    """Those with a text column, those with a number column, and the rest (also one of another type than its column)."""
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    rest: dict[str, str] = {}
    for name, value in said.items():
        if name in _LIFTED_TEXTS and value.HasField("string_value"):
            texts[name] = value.string_value
        elif name in _LIFTED_VALUES and value.WhichOneof("value") in VALUE_KINDS:
            texts[name] = attribute_text(value)
        elif name in _LIFTED_NUMBERS and value.HasField("int_value") and value.int_value >= 0:
            numbers[name] = value.int_value
        else:
            rest[name] = attribute_text(value)
    return texts, numbers, rest


def _event_objects(span: Span) -> list[dict[str, Any]]:
    return [
        {"time_unix_nano": event.time_unix_nano, "name": event.name, "attributes": _texts(event.attributes)}
        for event in span.events
    ]


def _link_objects(span: Span) -> list[dict[str, Any]]:
    return [
        {
            "trace_id": link.trace_id.hex(),
            "span_id": link.span_id.hex(),
            "trace_state": link.trace_state,
            "attributes": _texts(link.attributes),
        }
        for link in span.links
    ]


def _json(objects: list[dict[str, Any]]) -> str:
    return orjson.dumps(objects).decode() if objects else ""


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {attribute.key: attribute_text(attribute.value) for attribute in attributes}


def attribute_text(value: AnyValue) -> str:
    """A value as the store keeps it."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text: str = value.string_value
        return _marked("string", text.encode()) if text.startswith(_MARK) else text
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        return _double_text(value.double_value)
    if kind == "array_value":
        return _marked("array", value.array_value.SerializeToString())
    if kind == "kvlist_value":
        return _marked("kvlist", value.kvlist_value.SerializeToString())
    if kind == "bytes_value":
        return _marked("bytes", value.bytes_value)
    return ""


def attribute_value(text: str) -> Any:
    """The value behind a stored text: a list, a dict or bytes where it is marked as such, else the text itself."""
    kind, found, encoded = text.removeprefix(_MARK).partition(";base64,")
    if not text.startswith(_MARK) or not found:
        return text
    raw = b64decode(encoded)
    if kind == "string":
        return raw.decode()
    if kind == "array":
        return [_python(value) for value in ArrayValue.FromString(raw).values]
    if kind == "kvlist":
        return {pair.key: _python(pair.value) for pair in KeyValueList.FromString(raw).values}
    return raw


def _python(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_python(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _python(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def _marked(kind: str, raw: bytes) -> str:
    return f"{_MARK}{kind};base64,{b64encode(raw).decode()}"


def _double_text(number: float) -> str:
    """As ClickHouse writes a Float64: the shortest digits that read back the same, no `.0`, exponent from 1e21 on."""
    if math.isnan(number) or math.isinf(number):
        return str(number)
    mantissa, _, exponent = repr(number).partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0"
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """`digits` with the decimal point `point` places from their beginning."""
    if 0 < point <= 21:
        return digits.ljust(point, "0") if point >= len(digits) else f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1}"


def _time(unix_nano: int) -> int:
    return min(unix_nano, _LARGEST)


def _aligned(identifier: bytes, size: int) -> bytes:
    return identifier.rjust(size, b"\0")[-size:]


def columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The same rows column by column, as an insert takes them."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns
