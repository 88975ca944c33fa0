"""What the gateway refuses for good, what it asks for again, and what it says; called directly."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from forewarn.conventions import Topic
from forewarn_collector.gateway import admission
from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing, KeysUnavailable
from forewarn_collector.log.interface import Appended, LogFull, LogUnavailable, Record
from forewarn_collector.log.memory import MemoryLog

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
MAX_BODY = 4 << 20
TRACES = "/v1/traces"

Stored = Callable[..., list[Record]]
Direct = Callable[[Any], httpx.AsyncClient]


class OneAnswerLog(MemoryLog):
    """A log whose appends all end in the same way."""

    def __init__(self, answer: Exception | None) -> None:
        super().__init__()
        self._answer = answer

    def append(self, *args: Any, **kwargs: Any) -> Future[Appended]:
        done: Future[Appended] = Future()
        if self._answer is not None:
            done.set_exception(self._answer)
        return done


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x00\x01\x02 no protobuf", id="noise"),
        pytest.param(b"<html>captive portal</html>", id="html"),
        pytest.param(b"\n\xff\xff\xff\xff\x7f", id="length beyond the end"),
        pytest.param(b"\n\x04\x12\x02\x12\x7f", id="broken inside"),
        pytest.param(b"\n\x08\n\x06\n\x04\n\x02\xff\xfe", id="text that is no UTF-8"),
        pytest.param(b"\x08\x01", id="wrong wire type in the request"),
        pytest.param(b"\n\x02\x08\x01", id="wrong wire type in its resource spans"),
        pytest.param(b"\n\x04\n\x02\x08\x01", id="wrong wire type in a resource"),
        pytest.param(b"\n\x04\x12\x02\x10\x01", id="wrong wire type in scope spans"),
        pytest.param(b"\n\x06\x12\x04\x12\x02\x28\x01", id="wrong wire type in a span"),
    ],
)
async def test_broken_protobuf_is_refused_for_good(client: httpx.AsyncClient, body: bytes, stored: Stored) -> None:
    """400 with a google.rpc.Status in protobuf, and nothing is stored."""
    answer = await client.post(TRACES, content=body, headers=PROTOBUF)

    status = Status.FromString(answer.content)
    assert (answer.status_code, status.code) == (400, 3)
    assert "never send this body again" in status.message
    assert stored(Topic.SPANS, Topic.STARTS) == []


async def test_truncated_protobuf_is_refused(client: httpx.AsyncClient, otlp: Any, stored: Stored) -> None:
    """A body cut in the middle is not half a body."""
    body = otlp.request(otlp.span(1))

    codes = {(await client.post(TRACES, content=body[:-n], headers=PROTOBUF)).status_code for n in (1, 10, 50)}

    assert codes == {400}
    assert stored(Topic.SPANS) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans": [5]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 12}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\\ud800"}]}]}]}',
        b'{"resourceSpans":' + b"[" * 100_000,
    ],
    ids=lambda body: body[-30:].decode("latin-1"),
)
async def test_broken_json_is_refused_for_good(client: httpx.AsyncClient, body: bytes, stored: Stored) -> None:
    """400 with a google.rpc.Status in JSON, and nothing is stored."""
    answer = await client.post(TRACES, content=body, headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert stored(Topic.SPANS, Topic.STARTS) == []


@pytest.mark.parametrize(
    "body", [b"not gzip", gzip.compress(b"\n\x00" * 50)[:-9], gzip.compress(b"") + b"rest", gzip.compress(b"")[:12]]
)
async def test_broken_gzip_is_refused_for_good(client: httpx.AsyncClient, body: bytes, stored: Stored) -> None:
    """What claims to be gzip must be, to its end."""
    answer = await client.post(TRACES, content=body, headers=PROTOBUF | {"content-encoding": "gzip"})

    assert answer.status_code == 400
    assert "gzip" in Status.FromString(answer.content).message
    assert stored(Topic.SPANS) == []


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient, stored: Stored) -> None:
    """413 as soon as it is known; exactly the limit is not over it."""
    large = ExportTraceServiceRequest(resource_spans=[ResourceSpans(schema_url="x" * (MAX_BODY - 10))])

    over = await client.post(TRACES, content=bytes(MAX_BODY + 1), headers=PROTOBUF)
    at = await client.post(TRACES, content=large.SerializeToString(), headers=PROTOBUF)

    assert (over.status_code, Status.FromString(over.content).code) == (413, 8)
    assert str(MAX_BODY) in Status.FromString(over.content).message
    assert at.status_code == 200
    assert [len(record.value) for record in stored(Topic.SPANS)] == [MAX_BODY]


async def test_a_body_without_a_length_is_cut_off_at_the_limit(client: httpx.AsyncClient) -> None:
    """A sender that does not say how much comes is stopped when it has been enough: no more is ever read."""
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += 1 << 20
            yield bytes(1 << 20)

    answer = await client.post(TRACES, content=endless(), headers=PROTOBUF)

    assert answer.status_code == 413
    assert sent <= MAX_BODY + (2 << 20)


async def test_a_gzip_bomb_stops_at_the_limit(client: httpx.AsyncClient, stored: Stored) -> None:
    """A small body that would become a large one is refused without becoming it, in one member or in many."""
    bomb = gzip.compress(bytes(64 << 20))
    members = gzip.compress(bytes(MAX_BODY // 2)) * 3

    codes = [
        (await client.post(TRACES, content=body, headers=PROTOBUF | {"content-encoding": "gzip"})).status_code
        for body in (bomb, members)
    ]

    assert len(bomb) < 100_000
    assert codes == [413, 413]
    assert stored(Topic.SPANS) == []


async def test_gzip_of_many_members_costs_what_its_bytes_cost(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a body is cut into members, a byte of it is fed to a decompressor about once; too many are refused."""
    fed: list[int] = []

    class Counting:
        def __init__(self, window: int) -> None:
            self._real = decompressobj(window)

        def decompress(self, data: memoryview, most: int) -> bytes:
            fed.append(len(data))
            return self._real.decompress(data, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    decompressobj = zlib.decompressobj
    monkeypatch.setattr("forewarn_collector.gateway.compression.zlib.decompressobj", Counting)
    headers = PROTOBUF | {"content-encoding": "gzip"}
    few = gzip.compress(b"\n\x00" * 50) + gzip.compress(b"\n\x00" * 50)
    many = gzip.compress(b"") * 100_000

    taken = await client.post(TRACES, content=few, headers=headers)
    refused = await client.post(TRACES, content=many, headers=headers)

    assert (taken.status_code, refused.status_code) == (200, 400)
    assert "more than 1024 members" in Status.FromString(refused.content).message
    assert max(fed) <= 16 << 10
    assert len(fed) <= 1026


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic fwk_production_00000000_0",
        "Bearer fwk_production_00000000_0",
        "Bearer fwk_production",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 5000,
    ],
)
async def test_a_wrong_key_is_refused(gateway: Gateway, otlp: Any, stored: Stored, authorization: str | None) -> None:
    """401 for every kind of no key, before the body is looked at."""
    transport = httpx.ASGITransport(gateway)
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        answer = await client.post(TRACES, content=otlp.request(otlp.span(1)), headers=PROTOBUF)

    assert (answer.status_code, Status.FromString(answer.content).code) == (401, 16)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert stored(Topic.SPANS) == []


async def test_a_secret_of_another_key_is_refused(keys: KeyRing, direct: Direct, otlp: Any, log: Any) -> None:
    """The environment is the key's: a staging secret does not open production."""
    production, staging = keys.create("production"), keys.create("staging")
    forged = f"fwk_{production.info.id}_{staging.text.rsplit('_', 1)[1]}"
    async with direct(Gateway(log, keys)) as client:
        answer = await client.post(
            TRACES, content=otlp.request(otlp.span(1)), headers=PROTOBUF | {"authorization": f"Bearer {forged}"}
        )

    assert answer.status_code == 401


async def test_a_revoked_key_is_refused(client: httpx.AsyncClient, keys: KeyRing, otlp: Any) -> None:
    """Within the same process at once."""
    before = await client.post(TRACES, content=otlp.request(otlp.span(1)), headers=PROTOBUF)
    keys.revoke(keys.list()[0].id)

    after = await client.post(TRACES, content=otlp.request(otlp.span(1)), headers=PROTOBUF)

    assert (before.status_code, after.status_code) == (200, 401)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream", "application/grpc"])
async def test_an_unknown_content_type_is_refused(client: httpx.AsyncClient, content_type: str) -> None:
    """415, and which two are spoken."""
    answer = await client.post(TRACES, content=b"", headers={"content-type": content_type})

    assert answer.status_code == 415
    assert "application/x-protobuf or application/json" in Status.FromString(answer.content).message


async def test_content_types_may_carry_parameters(client: httpx.AsyncClient) -> None:
    """`application/json; charset=utf-8` is JSON, in any case of letters."""
    answer = await client.post(TRACES, content=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"})

    assert answer.status_code == 200


@pytest.mark.parametrize(("encoding", "code"), [("identity", 200), ("", 200), ("deflate", 415), ("br", 415)])
async def test_other_encodings_are_not_spoken(client: httpx.AsyncClient, encoding: str, code: int) -> None:
    """Another encoding is refused by name, rather than read as what it is not."""
    answer = await client.post(TRACES, content=b"", headers=PROTOBUF | {"content-encoding": encoding})

    assert answer.status_code == code


async def test_other_methods_and_paths_are_refused(client: httpx.AsyncClient) -> None:
    """405 says what is allowed; 404 says where spans go."""
    got = await client.get(TRACES)
    posted = await client.post("/healthz")
    nowhere = await client.post("/v1/metrics", content=b"")

    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    assert nowhere.status_code == 404
    assert TRACES in nowhere.json()["message"]


# --- what is temporary ----------------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "code"), [(LogFull("/secret/path"), 429), (LogUnavailable("/secret/path"), 503)])
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
async def test_a_log_in_trouble_asks_for_the_same_again(
    keys: KeyRing, direct: Direct, *, failure: Exception, code: int, content_type: dict[str, str]
) -> None:
    """429 or 503 with a short Retry-After, never 500; the sender does not learn where our files are."""
    async with direct(Gateway(OneAnswerLog(failure), keys)) as client:
        answer = await client.post(TRACES, content=b"{}" if content_type is JSON else b"", headers=content_type)

    assert (answer.status_code, answer.headers["retry-after"]) == (code, "1")
    assert b"/secret/path" not in answer.content


async def test_a_log_that_never_answers_asks_for_the_same_again(
    keys: KeyRing, direct: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender hears of it before it gives up by itself."""
    monkeypatch.setattr(admission, "APPEND_TIMEOUT_S", 0.01)
    async with direct(Gateway(OneAnswerLog(None), keys)) as client:
        answer = await client.post(TRACES, content=b"", headers=PROTOBUF)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_keys_that_cannot_be_read_ask_for_the_same_again(
    gateway: Gateway, direct: Direct, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state database in trouble is not the sender's fault: 503, neither 401 nor 500."""

    def broken(_: str) -> None:
        raise KeysUnavailable("database is locked")

    monkeypatch.setattr(keys, "check", broken)
    async with direct(gateway) as client:
        answer = await client.post(TRACES, content=b"", headers=PROTOBUF)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_sender_that_hangs_up_has_sent_nothing(gateway: Gateway, key: str, otlp: Any, stored: Stored) -> None:
    """Half a body is not stored, even where it could be read, and nobody is answered."""
    said: list[Any] = []
    parts: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": otlp.request(otlp.span(1)), "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": TRACES,
        "headers": [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/x-protobuf")],
    }

    async def receive() -> dict[str, Any]:
        return next(parts)

    async def send(message: Any) -> None:
        said.append(message)

    await gateway(scope, receive, send)

    assert said == []
    assert stored(Topic.SPANS) == []


async def test_our_own_log_says_why_but_not_a_thousand_times(
    keys: KeyRing, direct: Direct, caplog: pytest.LogCaptureFixture
) -> None:
    """What the sender is not told, whoever runs the gateway is."""
    async with direct(Gateway(OneAnswerLog(LogFull("group 'sink' is behind")), keys)) as client:
        for _ in range(20):
            await client.post(TRACES, content=b"", headers=PROTOBUF)

    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == [
        "Requests are being refused for now: group 'sink' is behind"
    ]
