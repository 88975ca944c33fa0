"""What the gateway takes and how it is kept, and the pages that machines look at; called directly."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from forewarn.conventions import LANE_HEADER, LANE_STARTS, Stamp, Topic
from forewarn_collector.gateway import admission
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.metrics import GatewayMetrics
from forewarn_collector.log.interface import Appended, Record, TopicPartition
from forewarn_collector.log.memory import MemoryLog

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
MAX_BODY = 4 << 20
TRACES = "/v1/traces"

Stored = Callable[..., list[Record]]
Direct = Callable[[Any], httpx.AsyncClient]


# --- what is taken --------------------------------------------------------------------------------


async def test_protobuf_is_stored_byte_for_byte_with_its_stamps(
    client: httpx.AsyncClient, otlp: Any, stored: Stored, keys: KeyRing
) -> None:
    """What the sender sent, what the gateway knows for certain beside it, and the trace as key."""
    body = otlp.request(otlp.span(1), otlp.span(2))

    answer = await client.post(TRACES, content=body, headers=PROTOBUF)

    (record,) = stored(Topic.SPANS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert (record.value, record.key) == (body, (1).to_bytes(16, "big"))
    assert record.headers == {
        Stamp.ENVIRONMENT: b"production",
        Stamp.KEY_ID: keys.list()[0].id.encode(),
        Stamp.RECEIVED_AT: b"1790000000000000000",
    }


async def test_unknown_fields_are_no_fault(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """A newer sender is understood as far as this version knows its words."""
    body = otlp.request(otlp.span(1))

    answer = await client.post(TRACES, content=body + b"\xfa\x3e\x03new", headers=PROTOBUF)

    assert answer.status_code == 200
    assert stored(Topic.SPANS)[0].value == body


async def test_gzip_is_stored_unpacked(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """Compression is the wire's business; two members in a row are one body."""
    body = otlp.request(*[otlp.span(n) for n in range(1, 40)])
    zipped = gzip.compress(body[:100]) + gzip.compress(body[100:])

    answer = await client.post(TRACES, content=zipped, headers=PROTOBUF | {"content-encoding": "gzip"})

    assert answer.status_code == 200
    assert stored(Topic.SPANS)[0].value == body


async def test_the_lane_of_start_records_is_their_topic(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """A header asks for the fast lane; everything else is bulk."""
    for headers in (PROTOBUF | {LANE_HEADER: LANE_STARTS}, PROTOBUF | {LANE_HEADER: "other"}, PROTOBUF):
        await client.post(TRACES, content=otlp.request(otlp.span(1)), headers=headers)

    assert len(stored(Topic.STARTS)) == 1
    assert len(stored(Topic.SPANS)) == 2


async def test_a_request_of_several_traces_is_keyed_by_its_sender(
    client: httpx.AsyncClient, otlp: Any, stored: Stored
) -> None:
    """Where there is no one trace, one sender's requests still keep their order."""
    mixed = otlp.request(otlp.span(1, trace=1), otlp.span(2, trace=2))
    many = otlp.request(*[otlp.span(n) for n in range(1, 100)])
    nobody = otlp.request(otlp.span(1, trace=1), otlp.span(2, trace=2), resource={})

    for body in (mixed, many, nobody):
        await client.post(TRACES, content=body, headers=PROTOBUF)

    assert [record.key for record in stored(Topic.SPANS)] == [b"one", b"one", b""]


@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, b""), (JSON, b"{}"), (JSON, b'{"resourceSpans":[]}')])
async def test_an_empty_request_is_fine(client: httpx.AsyncClient, content_type: dict[str, str], body: bytes) -> None:
    """Exporters may send one to see whether anybody is there."""
    answer = await client.post(TRACES, content=body, headers=content_type)

    assert answer.status_code == 200
    assert answer.content == (b"{}" if content_type is JSON else b"")


async def test_the_answer_waits_until_the_record_is_durable(keys: KeyRing, direct: Direct, otlp: Any) -> None:
    """No 200 before the log says so."""
    pending: Future[Appended] = Future()
    log = MemoryLog()
    log.append = lambda *_, **__: pending  # type: ignore[method-assign]
    async with direct(Gateway(log, keys)) as client:
        asking = asyncio.create_task(client.post(TRACES, content=otlp.request(otlp.span(1)), headers=PROTOBUF))
        for _ in range(100):
            await asyncio.sleep(0)
        early = asking.done()

        pending.set_result(Appended(TopicPartition(Topic.SPANS, 0), 0, 1))

        assert (await asking).status_code == 200
    assert not early


# --- what machines look at ------------------------------------------------------------------------


async def test_health_says_that_the_process_is_up(client: httpx.AsyncClient) -> None:
    """Whatever else is wrong."""
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.head("/healthz")).status_code == 200


async def test_readiness_names_what_is_wrong(keys: KeyRing, direct: Direct) -> None:
    """200 only when the log and every further check are content; each is named in the body."""
    log = MemoryLog()
    wrong: list[str] = []
    async with direct(Gateway(log, keys, checks={"store": lambda: wrong[0] if wrong else None})) as client:
        ready = await client.get("/readyz")
        wrong.append("no answer from the store")
        degraded = await client.get("/readyz")
        log.close()
        down = await client.get("/readyz")

    assert (ready.status_code, ready.json()["checks"]) == (200, {"log": "ok", "doors": "ok", "store": "ok"})
    assert (degraded.status_code, degraded.json()["checks"]["store"]) == (503, "no answer from the store")
    assert down.status_code == 503
    assert "closed" in down.json()["checks"]["log"]


async def test_metrics_count_what_was_answered(client: httpx.AsyncClient, otlp: Any) -> None:
    """Requests by code, bytes made durable, appends timed, nothing left in flight."""
    body = otlp.request(otlp.span(1))
    await client.post(TRACES, content=body, headers=PROTOBUF)
    await client.post(TRACES, content=b"broken", headers=PROTOBUF)

    page = (await client.get("/metrics")).text

    assert 'forewarn_gateway_requests_total{code="200",path="/v1/traces"} 1.0' in page
    assert 'forewarn_gateway_requests_total{code="400",path="/v1/traces"} 1.0' in page
    assert f'forewarn_gateway_body_bytes_total{{topic="otlp_spans"}} {float(len(body))}' in page
    assert 'forewarn_gateway_append_seconds_count{topic="otlp_spans"} 1.0' in page
    assert "forewarn_gateway_requests_in_flight 0.0" in page


async def test_two_gateways_do_not_share_or_double_their_metrics(log: Any, keys: KeyRing, direct: Direct) -> None:
    """Each has a registry of its own unless one is passed in."""
    registry = CollectorRegistry()
    first, second = Gateway(log, keys), Gateway(log, keys, metrics=GatewayMetrics(registry))
    async with direct(first) as client:
        await client.post(TRACES, content=b"", headers=PROTOBUF)

    labels = {"path": TRACES, "code": "200"}
    assert second.admission.metrics.registry is registry
    assert registry.get_sample_value("forewarn_gateway_requests_total", labels) is None


async def test_refusals_lose_nothing_around_them(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """Good requests between every kind of bad one are stored, each once."""
    bad = [
        (b"broken", PROTOBUF),
        (bytes(MAX_BODY + 1), PROTOBUF),
        (gzip.compress(bytes(64 << 20)), PROTOBUF | {"content-encoding": "gzip"}),
        (b"{broken", JSON),
        (b"", {"content-type": "text/plain"}),
        (b"", PROTOBUF | {"authorization": "Bearer wrong"}),
    ]
    good = [otlp.request(otlp.span(n)) for n in range(1, 13)]
    sending = [client.post(TRACES, content=body, headers=PROTOBUF) for body in good]
    refusing = [client.post(TRACES, content=body, headers=headers) for body, headers in bad * 2]

    answers = await asyncio.gather(*[post for pair in zip(sending, refusing, strict=True) for post in pair])

    assert [answer.status_code for answer in answers[::2]] == [200] * 12
    assert {answer.status_code for answer in answers[1::2]} == {400, 401, 413, 415}
    assert sorted(record.value for record in stored(Topic.SPANS)) == sorted(good)


async def test_many_at_once_are_each_stored_once(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """Two hundred senders at once, small bodies and large ones."""
    bodies = [otlp.request(*[otlp.span(n * 100 + k) for k in range(1 + n % 2 * 90)]) for n in range(1, 201)]

    answers = await asyncio.gather(*[client.post(TRACES, content=body, headers=PROTOBUF) for body in bodies])

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(record.value for record in stored(Topic.SPANS)) == sorted(bodies)


async def test_large_bodies_are_read_off_the_event_loop(
    client: httpx.AsyncClient, otlp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the start records behind them are not held up; small ones are not worth a thread."""
    readers: list[bool] = []
    real = admission.read_payload

    def noting(*args: Any, **kwargs: Any) -> Any:
        readers.append(threading.current_thread() is threading.main_thread())
        return real(*args, **kwargs)

    monkeypatch.setattr(admission, "read_payload", noting)
    small, large = otlp.request(otlp.span(1)), otlp.request(*[otlp.span(n) for n in range(1, 1000)])

    for body in (small, large):
        await client.post(TRACES, content=body, headers=PROTOBUF)

    assert readers == [True, False]


async def test_a_refusal_in_json_is_json(client: httpx.AsyncClient) -> None:
    """Errors come in the form of the request."""
    answer = await client.post(TRACES, content=b"broken", headers=JSON)

    assert answer.headers["content-type"] == "application/json"
    assert set(json.loads(answer.content)) == {"code", "message"}
