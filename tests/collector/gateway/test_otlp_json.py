"""OTLP/JSON means what the same request in protobuf means."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode

from forewarn_collector.gateway.errors import BadPayload
from forewarn_collector.gateway.otlp_json import request_from_json


def otlp_json(request: ExportTraceServiceRequest) -> Any:
    """The request as OTLP/JSON: protobuf's JSON with hexadecimal ids and enums as numbers."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for resource in document.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                for holder in (span, *span.get("links", [])):
                    for name in holder.keys() & {"traceId", "spanId", "parentSpanId"}:
                        holder[name] = base64.b64decode(holder[name]).hex()
    return document


@pytest.fixture
def recorded() -> list[ReadableSpan]:
    """Finished spans of the real SDK: nested, linked, with events, an error, and every kind of attribute."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "janitor", "process.pid": 12}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("forewarn", "1.0", attributes={"scope": "yes"})
    with tracer.start_as_current_span("invoke_agent janitor", kind=SpanKind.CLIENT) as agent:
        agent.set_attributes(
            {"text": "ü\0\n", "big": 2**62, "minus": -1, "ratio": 0.1, "yes": True, "list": ["a", "b"]}
        )
        with tracer.start_as_current_span("execute_tool drop", links=[Link(agent.get_span_context())]) as tool:
            tool.add_event("refused", {"code": 7})
            tool.set_status(StatusCode.ERROR, "no such table")
    provider.shutdown()
    return list(exporter.get_finished_spans())


def test_what_the_sdk_records_means_the_same_in_both_forms(recorded: list[ReadableSpan]) -> None:
    """Spans of the real SDK, encoded by its real exporter."""
    request = encode_spans(recorded)

    assert request_from_json(json.dumps(otlp_json(request)).encode()) == request


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_int64s = st.integers(-(1 << 63), (1 << 63) - 1)
_uint64s = st.integers(0, (1 << 64) - 1)
_leaves = st.one_of(
    st.builds(AnyValue),
    st.builds(AnyValue, string_value=_texts),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=_int64s),
    st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
    st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
)


def _nested(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    lists = st.builds(ArrayValue, values=st.lists(inner, max_size=2))
    maps = st.builds(KeyValueList, values=st.lists(st.builds(KeyValue, key=_texts, value=inner), max_size=2))
    return st.builds(AnyValue, array_value=lists) | st.builds(AnyValue, kvlist_value=maps)


_attributes = st.lists(st.builds(KeyValue, key=_texts, value=st.recursive(_leaves, _nested, max_leaves=5)), max_size=3)
_trace_ids, _span_ids = st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)
_spans = st.builds(
    Span,
    trace_id=_trace_ids,
    span_id=_span_ids,
    parent_span_id=_span_ids | st.just(b""),
    name=_texts,
    kind=st.integers(0, 5),
    flags=st.integers(0, (1 << 32) - 1),
    start_time_unix_nano=_uint64s,
    end_time_unix_nano=_uint64s,
    attributes=_attributes,
    events=st.lists(st.builds(Span.Event, time_unix_nano=_uint64s, name=_texts, attributes=_attributes), max_size=2),
    links=st.lists(st.builds(Span.Link, trace_id=_trace_ids, span_id=_span_ids, attributes=_attributes), max_size=2),
    status=st.builds(Status, code=st.integers(0, 2), message=_texts),
)


@given(spans=st.lists(_spans, max_size=3))
def test_every_request_means_the_same_in_both_forms(spans: list[Span]) -> None:
    """64-bit integers to the last digit, bytes, nested values, ids: nothing is lost on the way through JSON."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)

    assert request_from_json(json.dumps(otlp_json(request)).encode()) == request


def test_what_others_write_is_read_too() -> None:
    """Integers as numbers, enums by name, ids in capitals, unknown fields, null for absent."""
    body = b"""{"resourceSpans": [{"newField": 1, "scopeSpans": [{"spans": [{
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "parentSpanId": null,
        "name": "I'm a server span", "startTimeUnixNano": 1544712660000000001, "endTimeUnixNano": "1544712661000000000",
        "kind": "SPAN_KIND_SERVER",
        "attributes": [{"key": "n", "value": {"intValue": 9223372036854775807}},
                       {"key": "x", "value": {"doubleValue": 1}}]
    }]}]}]}"""

    (span,) = request_from_json(body).resource_spans[0].scope_spans[0].spans

    assert (span.trace_id.hex(), span.span_id.hex()) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (span.parent_span_id, span.kind, span.start_time_unix_nano) == (b"", 2, 1544712660000000001)
    assert span.attributes[0].value.int_value == 9223372036854775807
    assert span.attributes[1].value.double_value == 1.0


def test_snake_case_ids_are_hexadecimal_too() -> None:
    """Read as base64 they would silently become other ids."""
    body = {"resource_spans": [{"scope_spans": [{"spans": [{"trace_id": "ab" * 16, "span_id": "cd" * 8}]}]}]}

    (span,) = request_from_json(json.dumps(body).encode()).resource_spans[0].scope_spans[0].spans

    assert (span.trace_id, span.span_id) == (b"\xab" * 16, b"\xcd" * 8)


_field_names = st.sampled_from(
    [
        "resourceSpans",
        "scopeSpans",
        "spans",
        "links",
        "events",
        "attributes",
        "traceId",
        "spanId",
        "parentSpanId",
        "kind",
        "name",
        "value",
        "key",
        "status",
        "startTimeUnixNano",
        "stringValue",
        "intValue",
        "doubleValue",
        "bytesValue",
        "arrayValue",
        "kvlistValue",
        "values",
        "resource",
    ]
)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_field_names, inner, max_size=4),
    max_leaves=12,
)


@given(document=_json_values)
def test_no_document_breaks_the_reader(document: Any) -> None:
    """Whatever JSON comes: it is read, or it is the sender's fault; never ours."""
    assert _is_read_or_refused(document)


@given(value=_json_values)
def test_no_span_breaks_the_reader(value: Any) -> None:
    """The same, closer to where it hurts."""
    assert _is_read_or_refused({"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]})


def _is_read_or_refused(document: Any) -> bool:
    try:
        return isinstance(request_from_json(json.dumps(document).encode()), ExportTraceServiceRequest)
    except BadPayload:
        return True
