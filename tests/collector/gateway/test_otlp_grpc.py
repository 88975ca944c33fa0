"""OTLP over gRPC: the road is that over HTTP, the answers are in gRPC's words; through real servers and clients."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from forewarn.conventions import LANE_HEADER, LANE_STARTS, Stamp, Topic
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.limits import Limits
from forewarn_collector.gateway.otlp_grpc import EXPORT, TraceService, options
from forewarn_collector.log.interface import Appended, LogFull, LogUnavailable, Record
from forewarn_collector.log.memory import MemoryLog

MAX_BODY = 4 << 20

Stored = Callable[..., list[Record]]
Ask = Callable[..., Any]


@pytest.fixture
async def address(gateway: Gateway) -> AsyncIterator[str]:
    async with serving(gateway) as address:
        yield address


class serving:  # noqa: N801 -- reads as the context manager that it is
    """A gateway behind gRPC, on a free port."""

    def __init__(self, gateway: Gateway) -> None:
        service = TraceService(gateway.admission)
        self._server = grpc.aio.server(handlers=[service], options=options(MAX_BODY, connections=100))

    async def __aenter__(self) -> str:
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)


async def export(address: str, body: bytes, *metadata: tuple[str, str], **options: Any) -> Any:
    """The call itself, or the error that it ended with."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        try:
            return await channel.unary_unary(EXPORT)(body, metadata=metadata, timeout=20, **options)
        except grpc.aio.AioRpcError as error:
            return error


def bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


def retry_after(error: grpc.aio.AioRpcError) -> list[int]:
    """What both kinds of exporters look at."""
    trailers = dict(error.trailing_metadata())
    if "grpc-status-details-bin" not in trailers:
        assert "google.rpc.retryinfo-bin" not in trailers
        return []
    (detail,) = Status.FromString(trailers["grpc-status-details-bin"]).details
    packed = RetryInfo()
    assert detail.Unpack(packed)
    return [packed.retry_delay.seconds, RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]).retry_delay.seconds]


# --- what is taken --------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_call_is_stored_byte_for_byte_with_its_stamps(
    address: str, key: str, keys: KeyRing, otlp: Any, *, stored: Stored, compression: grpc.Compression
) -> None:
    """As over HTTP: the bytes of the sender, the same stamps; compression is the wire's business."""
    body = otlp.request(*[otlp.span(n) for n in range(1, 40)])

    answer = await export(address, body, bearer(key), compression=compression)

    (record,) = stored(Topic.SPANS)
    assert answer == b""
    assert (record.value, record.key) == (body, (1).to_bytes(16, "big"))
    assert record.headers == {
        Stamp.ENVIRONMENT: b"production",
        Stamp.KEY_ID: keys.list()[0].id.encode(),
        Stamp.RECEIVED_AT: b"1790000000000000000",
    }


async def test_the_lane_of_start_records_is_their_topic(address: str, key: str, otlp: Any, stored: Stored) -> None:
    """The same header name as over HTTP."""
    body = otlp.request(otlp.span(1))

    await export(address, body, bearer(key), (LANE_HEADER, LANE_STARTS))

    assert [record.value for record in stored(Topic.STARTS)] == [body]


async def test_what_is_left_out_is_told(address: str, key: str, otlp: Any, stored: Stored) -> None:
    """Partial success, in the answer of a call that succeeded."""
    answer = await export(address, otlp.request(otlp.span(1), otlp.span(2, trace_id=bytes(16))), bearer(key))

    told = ExportTraceServiceResponse.FromString(answer).partial_success
    assert told.rejected_spans == 1
    assert stored(Topic.SPANS)[0].value == otlp.request(otlp.span(1))


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
async def test_the_real_exporter_gets_everything_in(
    address: str, key: str, stored: Stored, compression: grpc.Compression | None
) -> None:
    """OpenTelemetry's own package, as an agent without the SDK uses it."""
    headers = {"authorization": f"Bearer {key}"}
    provider = TracerProvider(resource=Resource.create({"service.name": "foreign"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"http://{address}", insecure=True, headers=headers, compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("foreign")
    for number in range(700):
        tracer.start_span(f"work {number}").end()

    flushed = await asyncio.to_thread(provider.force_flush)
    await asyncio.to_thread(provider.shutdown)

    assert flushed
    assert sum(record.value.count(b"work ") for record in stored(Topic.SPANS)) == 700


# --- what is refused ------------------------------------------------------------------------------


async def test_without_a_key_nothing_is_read(address: str, key: str, stored: Stored) -> None:
    """UNAUTHENTICATED for each kind of no key, also where the message would be far too large, and never to repeat."""
    wrong = [(), (bearer("fwk_production_1_1"),), (bearer(key + "x"),), (("authorization", f"Basic {key}"),)]

    errors = [await export(address, bytes(MAX_BODY // 2), *metadata) for metadata in wrong]

    assert [error.code() for error in errors] == [grpc.StatusCode.UNAUTHENTICATED] * 4
    assert [retry_after(error) for error in errors] == [[]] * 4
    assert stored(Topic.SPANS) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"broken", grpc.StatusCode.INVALID_ARGUMENT, id="no protobuf"),
        pytest.param(b"\x1f\x8bno gzip", grpc.StatusCode.INVALID_ARGUMENT, id="no gzip"),
        pytest.param(gzip.compress(b"\n\x00" * 99)[:-9], grpc.StatusCode.INVALID_ARGUMENT, id="torn gzip"),
        pytest.param(gzip.compress(bytes(64 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, id="bomb"),
        pytest.param(bytes(MAX_BODY + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, id="over the limit"),
    ],
)
async def test_what_can_never_be_taken_is_not_to_be_repeated(
    address: str, key: str, stored: Stored, *, body: bytes, code: grpc.StatusCode
) -> None:
    """Bad data and too much of it: no RetryInfo."""
    error = await export(address, body, bearer(key))

    assert (error.code(), retry_after(error)) == (code, [])
    assert stored(Topic.SPANS) == []


@pytest.mark.parametrize("failure", [LogFull("/secret/path"), LogUnavailable("/secret/path")])
async def test_a_log_in_trouble_asks_for_the_same_again(keys: KeyRing, key: str, failure: Exception) -> None:
    """UNAVAILABLE with RetryInfo of a second, never INTERNAL; the sender does not learn where our files are."""
    failed: Future[Appended] = Future()
    failed.set_exception(failure)
    log = MemoryLog()
    log.append = lambda *_, **__: failed  # type: ignore[method-assign]
    async with serving(Gateway(log, keys)) as address:
        error = await export(address, b"", bearer(key))

    assert (error.code(), retry_after(error)) == (grpc.StatusCode.UNAVAILABLE, [1, 1])
    assert "/secret/path" not in error.details()


async def test_over_a_limit_is_retryable(keys: KeyRing, key: str) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo: the difference between later and never."""
    async with serving(Gateway(MemoryLog(), keys, limits=Limits(requests_per_second=1))) as address:
        answers = [await export(address, b"", bearer(key)) for _ in range(2)]

    assert answers[0] == b""
    assert (answers[1].code(), retry_after(answers[1])) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [1, 1])


async def test_a_message_that_does_not_come_is_not_waited_for(keys: KeyRing, key: str) -> None:
    """A call that is begun and never goes on ends with UNAVAILABLE."""
    gateway = Gateway(MemoryLog(), keys, limits=Limits(body_s=0.05))
    async with serving(gateway) as address, grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_unary(EXPORT)(metadata=[bearer(key)], timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert gateway.admission.draining.finished(0)


async def test_a_call_without_a_message_is_bad_data(address: str, key: str) -> None:
    """It is no empty request."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_unary(EXPORT)(metadata=[bearer(key)], timeout=20)
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_other_methods_are_not_spoken(address: str, key: str) -> None:
    """Metrics and logs have services of their own, which are not here."""
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")(
                b"", metadata=[bearer(key)]
            )

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_calls_are_counted_with_the_gateways_metrics(address: str, gateway: Gateway, key: str) -> None:
    """By method and code, none left in flight."""
    await export(address, b"", bearer(key))
    await export(address, b"broken", bearer(key))

    registry = gateway.admission.metrics.registry
    counted = [
        registry.get_sample_value("forewarn_gateway_requests_total", {"path": EXPORT, "code": code})
        for code in ("OK", "INVALID_ARGUMENT")
    ]
    assert counted == [1.0, 1.0]
    assert registry.get_sample_value("forewarn_gateway_requests_in_flight") == 0.0
