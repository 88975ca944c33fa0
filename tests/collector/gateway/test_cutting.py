"""A large request is read in pieces that say the same together, and what is no request is still refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn_collector.gateway import cutting
from forewarn_collector.gateway.cutting import PIECE_BYTES, pieces
from forewarn_collector.gateway.payload import RECORD_BYTES, Form, read_payload
from forewarn_collector.gateway.redaction import Redactor

FORM = Form.named("application/x-protobuf", "")
LONG = "x" * (PIECE_BYTES // 8)
Told = list[tuple[bytes, bytes, bytes]]

SIZES = st.lists(st.integers(0, 90), max_size=4)
SCOPES = st.lists(st.tuples(st.integers(0, 300), SIZES), max_size=3)
TREES = st.lists(st.tuples(st.integers(0, 300), SCOPES), max_size=3)


def told(*bodies: bytes) -> Told:
    """Every span in order, beside what it belongs to."""
    return [
        (
            resource.resource.SerializeToString() + resource.schema_url.encode(),
            scope.scope.SerializeToString() + scope.schema_url.encode(),
            span.SerializeToString(),
        )
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def request_of(tree: list[tuple[int, list[tuple[int, list[int]]]]]) -> bytes:
    request = ExportTraceServiceRequest()
    for beside, scopes in tree:
        resource = request.resource_spans.add(schema_url="r" * beside)
        resource.resource.dropped_attributes_count = beside
        for beside_spans, spans in scopes:
            scope = resource.scope_spans.add(schema_url="s" * beside_spans)
            scope.scope.name = "scope"
            for number, size in enumerate(spans):
                scope.spans.add(span_id=bytes([number]), name="n" * size)
    return request.SerializeToString()


@settings(deadline=None)
@given(TREES, st.integers(20, 400))
def test_pieces_say_together_what_the_request_says(tree: Any, most: int) -> None:
    """Every span once, in order, with its resource and scope; and copying stays in proportion."""
    body = request_of(tree)

    cut = [b"".join(parts) for parts in cutting._cut(body, 0, len(body), most=most)]

    assert told(*cut) == told(body)
    assert sum(map(len, cut)) <= 3 * len(body) + 100


def test_a_small_request_is_its_only_piece(otlp: Any) -> None:
    """The very same bytes: nothing is copied."""
    body = otlp.request(otlp.span())

    assert next(iter(pieces(body))) is body


def test_no_piece_is_large(otlp: Any) -> None:
    """But for one span that is."""
    body = otlp.request(*[otlp.span(number, attributes={"a": LONG}) for number in range(1, 40)])

    assert max(map(len, pieces(body))) < PIECE_BYTES + 1_000


def test_a_large_resource_is_not_copied_for_each_span(otlp: Any) -> None:
    """What is read is at most twice what came."""
    spans = [otlp.span(number, attributes={"a": LONG}) for number in range(1, 40)]
    body = otlp.request(*spans, resource={"large": LONG * 4})

    cut = list(pieces(body))

    assert len(cut) > 1
    assert sum(map(len, cut)) <= 2 * len(body)
    assert told(*cut) == told(body)


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-1],
        lambda body: body + b"\x0a",
        lambda body: body + b"\x0a\xff\xff",
        lambda body: body + b"\x0b\x0c",
        lambda body: body + b"\x08" + b"\xff" * 11,
    ],
    ids=["cut", "no length", "half a length", "a group", "an endless number"],
)
def test_what_is_no_request_is_refused(otlp: Any, damage: Any) -> None:
    """As reading it at once would refuse it."""
    body = otlp.request(*[otlp.span(number, attributes={"a": LONG}) for number in range(1, 40)])

    with pytest.raises(DecodeError):
        list(pieces(damage(body)))


def test_an_empty_message_at_the_end_is_one(otlp: Any) -> None:
    """Two bytes, and nothing behind them."""
    body = otlp.request(*[otlp.span(number, attributes={"a": LONG}) for number in range(1, 40)])

    assert told(*pieces(body + b"\x0a\x00")) == told(body)


def test_fields_that_nobody_knows_go_along(otlp: Any) -> None:
    """Of every wire type: whether they are taken is decided where all requests are read."""
    body = otlp.request(*[otlp.span(number, attributes={"a": LONG}) for number in range(1, 40)])
    strange = b"\x98\x06\x01" + b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4) + b"\x9a\x06\x02hi"

    cut = list(pieces(body + strange))

    assert told(*cut) == told(body)
    assert all(piece.startswith(strange) for piece in cut)


def test_a_large_request_is_stored_as_several_records(otlp: Any) -> None:
    """Each of a size that a transaction of the log holds; spans without ids are counted over all of them."""
    spans = [otlp.span(number, attributes={"a": LONG}) for number in range(1, 80)]
    nameless = [otlp.span(80, span_id=b""), otlp.span(81, attributes={"password": "x1y2z3"})]
    body = otlp.request(nameless[0], *spans, *nameless)

    payload = read_payload(body, FORM, Redactor(b"test"), limit=len(body))

    assert len(payload.values) > 1
    assert max(map(len, payload.values)) <= RECORD_BYTES
    assert (payload.rejected.spans, payload.redacted, payload.whole) == (2, 1, None)
    assert [span for _, _, span in told(*payload.values)][:79] == [span.SerializeToString() for span in spans]
