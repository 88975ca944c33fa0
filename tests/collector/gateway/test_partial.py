"""Spans that cannot be found again are left out of a request, and its sender is told how many and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from backports import zstd
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from forewarn.conventions import Topic
from forewarn_collector.log.interface import Record

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
TRACES = "/v1/traces"

Stored = Callable[..., list[Record]]


def wide(body: bytes) -> bytes:
    """A frame that asks for more memory than there is behind it."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": b""},
        {"trace_id": bytes(16)},
        {"trace_id": b"x" * 15},
        {"trace_id": b"x" * 17},
        {"span_id": b""},
        {"span_id": bytes(8)},
        {"span_id": b"x" * 9},
        {"parent_span_id": b"x" * 7},
    ],
    ids=str,
)
async def test_a_nameless_span_is_left_out(
    client: httpx.AsyncClient, otlp: Any, stored: Stored, *, fields: dict[str, bytes]
) -> None:
    """200, how many, and why; the spans beside it are stored in their order, and the counter knows."""
    spans = [otlp.span(1), otlp.span(2, **fields), otlp.span(3)]

    answer = await client.post(TRACES, content=otlp.request(*spans), headers=PROTOBUF)

    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    kept = ExportTraceServiceRequest.FromString(stored(Topic.SPANS)[0].value)
    assert (answer.status_code, told.rejected_spans) == (200, 1)
    assert "trace id of 16 bytes" in told.error_message
    assert list(kept.resource_spans[0].scope_spans[0].spans) == [spans[0], spans[2]]
    assert "forewarn_gateway_rejected_spans_total{" in (await client.get("/metrics")).text


async def test_a_request_in_json_is_told_in_json(client: httpx.AsyncClient, stored: Stored) -> None:
    """In the form of the request, with 64-bit numbers as strings, as protobuf's JSON has them."""
    spans = [{"traceId": "ab" * 16, "spanId": "cd" * 8}, {"traceId": "ab", "spanId": "cd" * 8}, {"name": "nobody"}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})

    answer = await client.post(TRACES, content=body, headers=JSON)

    kept = ExportTraceServiceRequest.FromString(stored(Topic.SPANS)[0].value)
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "2"
    assert [span.trace_id.hex() for span in kept.resource_spans[0].scope_spans[0].spans] == ["ab" * 16]


async def test_a_request_without_fault_is_answered_empty(client: httpx.AsyncClient, otlp: Any) -> None:
    """`partial_success` is not set at all: an exporter would warn."""
    body = otlp.request(otlp.span(1), otlp.span(2, parent_span_id=b"x" * 8))

    answer = await client.post(TRACES, content=body, headers=PROTOBUF)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_zstd_is_stored_unpacked(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """As gzip is; two frames in a row are one body."""
    body = otlp.request(*[otlp.span(n) for n in range(1, 40)])
    packed = zstd.compress(body[:100]) + zstd.compress(body[100:])

    answer = await client.post(TRACES, content=packed, headers=PROTOBUF | {"content-encoding": "zstd"})

    assert answer.status_code == 200
    assert stored(Topic.SPANS)[0].value == body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(zstd.compress(bytes(256 << 20)), 413, id="bomb"),
        pytest.param(zstd.compress(bytes(3 << 20)) * 2, 413, id="bomb of two frames"),
        pytest.param(zstd.compress(b"x" * 100)[:-3], 400, id="torn"),
        pytest.param(b"no zstd", 400, id="something else"),
        pytest.param(wide(b"x" * 100), 400, id="a window of 128 MiB"),
    ],
)
async def test_zstd_stops_at_the_limit(client: httpx.AsyncClient, stored: Stored, body: bytes, code: int) -> None:
    """What it would become beyond the limit is never made, and what it asks for beside is bounded."""
    answer = await client.post(TRACES, content=body, headers=PROTOBUF | {"content-encoding": "zstd"})

    assert answer.status_code == code
    assert stored(Topic.SPANS) == []
