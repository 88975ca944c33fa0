"""The gateway behind a real server, with real exporters and with senders that misbehave."""

from __future__ import annotations

import gzip
import http.client
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from forewarn.conventions import Topic
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.log.interface import Appended, LogUnavailable, Record
from forewarn_collector.log.sqlite import SqliteLog

TRACES = "/v1/traces"
MAX_BODY = 4 << 20
DEADLINE_S = 20.0

Stored = Callable[..., list[Record]]
Serve = Callable[[Any], Any]


@pytest.fixture
def served(serve: Serve, gateway: Gateway) -> Any:
    return serve(gateway)


@pytest.fixture
def headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/x-protobuf"}


def post(port: int, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("POST", TRACES, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
def test_a_real_exporter_is_heard(served: Any, key: str, stored: Stored, compression: Compression) -> None:
    """OpenTelemetry's own exporter, as anybody would configure it."""
    exporter = OTLPSpanExporter(
        endpoint=served.url + TRACES, headers={"authorization": f"Bearer {key}"}, compression=compression
    )
    provider = TracerProvider(resource=Resource({"service.name": "janitor"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    for n in range(700):
        tracer.start_span(f"execute_tool {n}").end()

    provider.shutdown()

    names = [
        span.name
        for record in stored(Topic.SPANS)
        for resource_spans in ExportTraceServiceRequest.FromString(record.value).resource_spans
        for scope in resource_spans.scope_spans
        for span in scope.spans
    ]
    assert sorted(names) == sorted(f"execute_tool {n}" for n in range(700))


def test_a_real_exporter_repeats_what_was_temporary(
    served: Any, log: SqliteLog, key: str, *, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and Retry-After: OpenTelemetry's exporter sends the same again, and nothing is lost."""
    real, troubles = log.append, ["for a moment", "for another"]

    def append(*args: Any, **kwargs: Any) -> Future[Appended]:
        if not troubles:
            return real(*args, **kwargs)
        failed: Future[Appended] = Future()
        failed.set_exception(LogUnavailable(troubles.pop()))
        return failed

    monkeypatch.setattr(log, "append", append)
    exporter = OTLPSpanExporter(endpoint=served.url + TRACES, headers={"authorization": f"Bearer {key}"})
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("test").start_span("execute_tool patient").end()

    provider.shutdown()

    assert troubles == []
    assert len(stored(Topic.SPANS)) == 1


def test_bad_senders_lose_nothing_around_them(served: Any, headers: dict[str, str], otlp: Any, stored: Stored) -> None:
    """Broken bodies, wrong keys, bombs and bodies over the limit, at once with good ones: each gets its answer."""
    bad: list[tuple[int, bytes, dict[str, str]]] = [
        (400, b"\x00 broken", headers),
        (401, b"", headers | {"authorization": "Bearer wrong"}),
        (413, bytes(MAX_BODY + 1), headers),
        (413, gzip.compress(bytes(100 << 20)), headers | {"content-encoding": "gzip"}),
        (400, b"{", headers | {"content-type": "application/json"}),
        (415, b"", headers | {"content-type": "text/html"}),
    ]
    good = [(200, otlp.request(otlp.span(n)), headers) for n in range(1, 19)]
    requests = [request for group in zip(*[iter(good)] * 3, bad, strict=True) for request in group]

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda request: post(served.port, request[1], request[2])[0], requests))

    assert codes == [request[0] for request in requests]
    assert sorted(record.value for record in stored(Topic.SPANS)) == sorted(body for _, body, _ in good)


def test_a_gzip_bomb_takes_no_memory(served: Any, headers: dict[str, str]) -> None:
    """A quarter of a gigabyte of zeros in 250 KB is refused long before it is that large."""
    bomb = b"".join(_bomb(256 << 20))
    tracemalloc.start()

    code, _ = post(served.port, bomb, headers | {"content-encoding": "gzip"})

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == 413
    assert peak < 4 * MAX_BODY


def _bomb(size: int) -> list[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return [*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()]


def test_a_chunked_body_over_the_limit_gets_its_answer(served: Any, headers: dict[str, str]) -> None:
    """A sender that does not say how much comes still hears 413, and the connection is not cut in its face."""
    code, _ = post(served.port, iter([bytes(1 << 20)] * 6), headers)

    assert code == 413


def test_a_connection_cut_in_the_middle_stores_nothing(
    served: Any, headers: dict[str, str], otlp: Any, stored: Stored
) -> None:
    """Half a request is no request, and the next sender is served."""
    body = otlp.request(*[otlp.span(n) for n in range(1, 50)])
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", served.port)) as half:
        half.sendall(f"POST {TRACES} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n".encode())
        half.sendall(body[:1000])

    code, _ = post(served.port, body, headers)

    assert code == 200
    assert [record.value for record in stored(Topic.SPANS)] == [body]


def test_one_connection_carries_many_requests(served: Any, headers: dict[str, str], otlp: Any, stored: Stored) -> None:
    """Keep-alive, through refusals too."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE_S)
    codes = []
    for n in range(1, 40):
        connection.request("POST", TRACES, otlp.request(otlp.span(n)) if n % 4 else b"broken", headers)
        answer = connection.getresponse()
        answer.read()
        codes.append(answer.status)
    connection.close()

    assert codes == [200 if n % 4 else 400 for n in range(1, 40)]
    assert len(stored(Topic.SPANS)) == codes.count(200)
