"""One start record in, and an answer that names what was made durable."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import INTENTS_PATH, RECORD, Stamp, Topic
from forewarn_collector.gateway.admission import Admission
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.limits import Limits
from forewarn_collector.log.interface import Appended, LogFull, LogUnavailable, Record, TopicPartition
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.state import open_state
from forewarn_control.intents import Intents

PROTOBUF = {"content-type": "application/x-protobuf"}
START = {RECORD: "start", "gen_ai.tool.name": "drop_table"}
DURABLE_AT = 1_790_000_000_000_000_123


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(clock_ns=lambda: DURABLE_AT)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyRing]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    yield KeyRing(engine)
    engine.dispose()


@pytest.fixture
async def client(log: MemoryLog, keys: KeyRing) -> AsyncIterator[httpx.AsyncClient]:
    gateway = Gateway(log, keys, limits=Limits(body=1 << 20))
    headers = {"authorization": f"Bearer {keys.create('production').text}"} | PROTOBUF
    transport = httpx.ASGITransport(Intents(gateway.admission))
    async with httpx.AsyncClient(transport=transport, base_url="http://control", headers=headers) as client:
        yield client


@pytest.fixture
def start(otlp: Any) -> bytes:
    """The body of one intent."""
    body: bytes = otlp.request(otlp.span(1, ended=False, attributes=START))
    return body


def stored(log: MemoryLog) -> list[Record]:
    return log.consumer("test", [Topic.STARTS, Topic.SPANS]).poll()


async def test_the_answer_names_what_is_durable(
    client: httpx.AsyncClient, log: MemoryLog, keys: KeyRing, start: bytes
) -> None:
    """The digest of the very bytes in the log, the verified environment, the decision, and since when."""
    answer = await client.post(INTENTS_PATH, content=start)

    (record,) = stored(log)
    assert answer.status_code == 200
    assert answer.json() == {
        "digest": hashlib.sha256(start).hexdigest(),
        "decision": "allow",
        "rule": None,
        "reason": "",
        "environment": "production",
        "recorded_at_unix_nano": DURABLE_AT,
    }
    assert (record.topic, record.value, record.key) == (Topic.STARTS, start, (1).to_bytes(16, "big"))
    assert record.headers[Stamp.ENVIRONMENT] == b"production"
    assert record.headers[Stamp.KEY_ID] == keys.list()[0].id.encode()


async def test_the_digest_is_of_the_unpacked_body(client: httpx.AsyncClient, log: MemoryLog, start: bytes) -> None:
    """Compression is the wire's business."""
    answer = await client.post(INTENTS_PATH, content=gzip.compress(start), headers={"content-encoding": "gzip"})

    assert answer.json()["digest"] == hashlib.sha256(start).hexdigest()
    assert stored(log)[0].value == start


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json"])
async def test_the_digest_is_of_what_was_received(
    client: httpx.AsyncClient, log: MemoryLog, start: bytes, content_type: str
) -> None:
    """An acknowledgement names what was sent, also where the log holds it in another form."""
    newer = start + b"\xfa\x3e\x03new"
    told = MessageToDict(ExportTraceServiceRequest.FromString(start))
    (span,) = told["resourceSpans"][0]["scopeSpans"][0]["spans"]
    span |= {"traceId": (1).to_bytes(16, "big").hex(), "spanId": (1).to_bytes(8, "big").hex()}
    body = newer if content_type.endswith("protobuf") else json.dumps(told).encode()

    answer = await client.post(INTENTS_PATH, content=body, headers={"content-type": content_type})

    assert answer.json()["digest"] == hashlib.sha256(body).hexdigest()
    assert stored(log)[0].value == start != body


async def test_no_answer_before_it_is_durable(client: httpx.AsyncClient, log: MemoryLog, start: bytes) -> None:
    """The call may start only when the record would survive a crash."""
    pending: Future[Appended] = Future()
    log.append = lambda *_, **__: pending  # type: ignore[method-assign]
    asking = asyncio.create_task(client.post(INTENTS_PATH, content=start))
    for _ in range(100):
        await asyncio.sleep(0)
    early = asking.done()

    pending.set_result(Appended(TopicPartition(Topic.STARTS, 0), 0, 7))

    assert (await asking).json()["recorded_at_unix_nano"] == 7
    assert not early


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param([], id="none"),
        pytest.param([{"attributes": START}, {"attributes": START}], id="two"),
        pytest.param([{"attributes": {}}], id="no start record"),
        pytest.param([{"attributes": {RECORD: "end"}}], id="an end record"),
        pytest.param([{"attributes": START, "ended": True}], id="already ended"),
        pytest.param([{"attributes": START, "trace_id": b"short"}], id="a short trace id"),
        pytest.param([{"attributes": START, "span_id": bytes(9)}], id="a long span id"),
    ],
)
async def test_anything_but_one_start_record_is_refused(
    client: httpx.AsyncClient, log: MemoryLog, otlp: Any, spans: list[dict[str, Any]]
) -> None:
    """What is answered here is one call; nothing else is stored through this path."""
    body = otlp.request(*[otlp.span(n, **{"ended": False} | fields) for n, fields in enumerate(spans, 1)])

    answer = await client.post(INTENTS_PATH, content=body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "do"}
    assert stored(log) == []


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"broken", {}, 400),
        (b"", {"authorization": "Bearer fwk_production_1_1"}, 401),
        (bytes((1 << 20) + 1), {}, 413),
        (gzip.compress(bytes(2 << 20)), {"content-encoding": "gzip"}, 413),
        (b"", {"content-type": "text/plain"}, 415),
    ],
    ids=["broken", "wrong key", "over the limit", "gzip bomb", "content type"],
)
async def test_bad_requests_are_refused_as_by_the_gateway(
    client: httpx.AsyncClient, log: MemoryLog, *, content: bytes, headers: dict[str, str], code: int
) -> None:
    """The same admission, the same codes; the body says what happened and what to do."""
    answer = await client.post(INTENTS_PATH, content=content, headers=headers)

    assert answer.status_code == code
    assert all(isinstance(answer.json()[part], str) for part in ("error", "do"))
    assert stored(log) == []


@pytest.mark.parametrize(("failure", "code"), [(LogFull("full"), 429), (LogUnavailable("no disk"), 503)])
async def test_a_log_in_trouble_clears_nothing(
    client: httpx.AsyncClient, log: MemoryLog, start: bytes, *, failure: Exception, code: int
) -> None:
    """429 or 503, when to come back, and no digest."""
    failed: Future[Appended] = Future()
    failed.set_exception(failure)
    log.append = lambda *_, **__: failed  # type: ignore[method-assign]

    answer = await client.post(INTENTS_PATH, content=start)

    assert (answer.status_code, answer.headers["retry-after"]) == (code, "1")
    assert "digest" not in answer.json()


async def test_other_methods_and_paths_are_refused(client: httpx.AsyncClient) -> None:
    """405 says what is allowed, 404 where intents go."""
    got, elsewhere = await client.get(INTENTS_PATH), await client.post("/v1/intent")

    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert (elsewhere.status_code, INTENTS_PATH in elsewhere.json()["do"]) == (404, True)


async def test_intents_are_counted_with_the_gateways_metrics(log: MemoryLog, keys: KeyRing, start: bytes) -> None:
    """One admission, one set of metrics, told apart by path."""
    admission = Admission(log, keys)
    transport = httpx.ASGITransport(Intents(admission))
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        await client.post(INTENTS_PATH, content=start, headers=PROTOBUF)

    labels = {"path": INTENTS_PATH, "code": "401"}
    assert admission.metrics.registry.get_sample_value("forewarn_gateway_requests_total", labels) == 1.0
