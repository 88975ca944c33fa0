"""
Records: bytes made from templates mean what was meant, read back with opentelemetry-proto's own classes.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from forewarn.conventions import Outcome
from forewarn.recording.records import Closing, Opening, acknowledged, call_attributes, template, tool_started
from forewarn.recording.wire import (
    attribute,
    export_request,
    resource,
    scope_message,
    span_field,
    varint,
    varint_of_time,
)

texts = st.text(max_size=300) | st.text("é€😀x", min_size=2_600, max_size=9_000)
numbers = st.integers(0, 2**63 - 1)
attributes = st.dictionaries(st.text("abc.", min_size=1, max_size=60), texts | numbers, max_size=5)


def read(span: Any) -> dict[str, Any]:
    values = [attribute.value for attribute in span.attributes]
    keys = [attribute.key for attribute in span.attributes]
    assert len(keys) == len(set(keys)), "a key is there once"
    return {
        key: value.int_value if value.WhichOneof("value") == "int_value" else value.string_value
        for key, value in zip(keys, values, strict=True)
    }


@given(
    name=st.text(max_size=200),
    shared=attributes,
    ids=st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)),
    parent=st.binary(min_size=8, max_size=8) | st.just(b""),
    times=st.tuples(numbers, numbers),
    sequence=st.integers(1, 2**62),
    arguments=texts,
    counts=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    result=st.none() | texts,
    error=st.none() | st.builds(ValueError, st.text(max_size=80)),
)
def test_a_start_and_its_end_read_back(**meant: Any) -> None:
    """
    Any text, any number, any size: the parsed spans equal what was meant, and the end has all that the start had.
    """
    (trace, span), (begin, end), (redacted, cut) = meant["ids"], meant["times"], meant["counts"]
    ids = (trace, span, meant["parent"])
    shape = template(meant["name"], meant["shared"])
    digest = "0123456789abcdef" * 4
    opened = Opening(ids, shape, begin, *call_attributes(meant["arguments"], digest))
    result = None if meant["result"] is None else (meant["result"], 1, 1)
    closing = Closing(Outcome.OK, error=meant["error"], result=result, redacted=redacted, cut=cut)

    start = Span.FromString(opened.start_record(meant["sequence"], redacted=redacted, cut=cut))
    finish = Span.FromString(
        opened.end_record(meant["sequence"] + 1, end, closing.fields, tool_started(begin), acknowledged(end, "allow"))
    )

    called = {**meant["shared"], "gen_ai.tool.call.arguments": meant["arguments"], "forewarn.call.digest": digest}
    for one, at in ((start, 0), (finish, end)):
        assert (one.trace_id, one.span_id, one.parent_span_id) == (trace, span, meant["parent"])
        assert (one.name, one.kind, one.start_time_unix_nano) == (meant["name"], Span.SPAN_KIND_INTERNAL, begin)
        assert one.end_time_unix_nano == at
    assert read(start) == {
        **called,
        "forewarn.sequence": meant["sequence"],
        "forewarn.record": "start",
        **({"forewarn.redacted": redacted} if redacted else {}),
        **({"forewarn.truncated": cut} if cut else {}),
    }
    more = 0 if result is None else 1
    hidden = read(finish).pop("forewarn.redacted", 0)
    assert {key: value for key, value in read(finish).items() if key != "forewarn.redacted"} == {
        **called,
        "forewarn.sequence": meant["sequence"] + 1,
        "forewarn.outcome": "ok",
        "forewarn.tool.started_unix_nano": begin,
        "forewarn.acknowledged_unix_nano": end,
        "forewarn.decision": "allow",
        **({} if result is None else {"gen_ai.tool.call.result": result[0]}),
        **({} if meant["error"] is None else {"error.type": "ValueError"}),
        **({"forewarn.truncated": cut + more} if cut + more else {}),
    }
    assert hidden >= redacted + more
    assert (finish.status.code == Status.STATUS_CODE_ERROR) == (meant["error"] is not None)


@given(described=attributes, names=st.lists(st.text(max_size=30), max_size=5))
def test_a_request_reads_back(described: dict[str, Any], names: list[str]) -> None:
    """
    Resource, scope and spans are where an OTLP receiver looks for them.
    """
    shapes = [Opening((b"t" * 16, b"s" * 8, b""), template(name, {}), 1) for name in names]
    spans = b"".join(span_field(one.end_record(1, 2)) for one in shapes)

    request = ExportTraceServiceRequest.FromString(
        export_request(resource(described), scope_message("forewarn", "1.2"), spans)
    )

    (per_resource,) = request.resource_spans
    (per_scope,) = per_resource.scope_spans
    assert read(per_resource.resource) == described
    assert (per_scope.scope.name, per_scope.scope.version) == ("forewarn", "1.2")
    assert [span.name for span in per_scope.spans] == names


@given(st.integers(0, 2**63 - 1))
def test_varints_of_times(number: int) -> None:
    """
    The short way for times reads back as the same number, and is the same encoding for every time since 1972.
    """
    span = Span.FromString(tool_started(number))

    assert read(span) == {"forewarn.tool.started_unix_nano": number}
    assert number < 2**56 or varint_of_time(number) == varint(number)


@given(st.integers(0, 2**64 - 1))
def test_varints(number: int) -> None:
    """
    Every integer protobuf can hold is encoded as protobuf does.
    """
    expected = bytearray()
    left = number
    while left > 0x7F:
        expected.append(left & 0x7F | 0x80)
        left >>= 7
    expected.append(left)

    assert varint(number) == bytes(expected)


def test_long_keys() -> None:
    """
    A key longer than a one-byte length is encoded right.
    """
    span = Span.FromString(attribute("k" * 5_000, "v") + attribute("n" * 200, 7))

    assert read(span) == {"k" * 5_000: "v", "n" * 200: 7}


@pytest.mark.parametrize("error", [None, ValueError(), ValueError("no")])
def test_records_are_as_short_as_protobuf_writes_them(error: ValueError | None) -> None:
    """
    No field stands there with its default value: a gateway tells by the length that it understood everything.
    """
    opened = Opening((b"t" * 16, b"s" * 8, b""), template("look", {}), 1)
    closing = Closing(Outcome.ERROR, error=error, result=("", 0, 0))
    spans = span_field(opened.start_record(1)) + span_field(opened.end_record(2, 3, closing.fields))

    request = export_request(resource({"service.name": ""}), scope_message("forewarn", "1.2"), spans)

    assert ExportTraceServiceRequest.FromString(request).ByteSize() == len(request)
