"""
What the doors of a house bear: slow and oversized senders, too many connections, TLS, an orderly end.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from forewarn_control import connections
from forewarn_control.address import Address, listen
from forewarn_control.certificate import Certificate
from forewarn_control.connections import CLOSED, CONNECTIONS, Crowd, DoorMetrics
from forewarn_control.errors import CannotServe
from forewarn_control.servers import HttpServer

DEADLINE_S = 20.0
MOST = 8


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body; at /slow only when `free` is set, at /early before the body is read."""
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        entered.append(scope)
        async with asyncio.timeout(DEADLINE_S):
            while not free.is_set():  # noqa: ASYNC110 -- the event is another thread's
                await asyncio.sleep(0.01)
    body = b"x" * (64 << 20) if scope["path"] == "/large" else str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


free = threading.Event()
entered: list[Any] = []


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def port(registry: CollectorRegistry) -> Iterator[int]:
    """A door with an application behind it."""
    free.clear()
    entered.clear()
    listener = listen(Address("127.0.0.1", 0), flag="--http")
    port = listener.getsockname()[1]
    server = HttpServer(echo, listener, Crowd("http", MOST, DoorMetrics(registry)))
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    assert server.started.wait(DEADLINE_S)
    yield port
    free.set()
    stop.set()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S)


def answered(connection: socket.socket) -> bytes:
    """Everything that comes until the other side closes."""
    said = b""
    try:
        while chunk := connection.recv(65536):
            said += chunk
    except ConnectionResetError:
        pass
    return said


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def closed(registry: CollectorRegistry, why: str) -> float:
    return registry.get_sample_value(CLOSED, {"door": "http", "why": why}) or 0.0


def get(port: int, path: str = "/", body: bytes = b"") -> bytes:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    client.request("POST", path, body)
    answer = client.getresponse().read()
    client.close()
    return answer


# --- slow -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "said"),
    [(b"", b""), (b"POST / HTTP/1.1\r\nx-slow: ", b"HTTP/1.1 408 ")],
    ids=["says nothing", "never ends its head"],
)
def test_a_head_is_not_waited_for_for_ever(
    port: int, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, *, sent: bytes, said: bytes
) -> None:
    """
    Whoever connects and says nothing, or dribbles a head, is told so where there is somebody to tell, and closed.
    """
    monkeypatch.setattr(connections, "HEAD_S", 0.2)

    with connected(port) as slow:
        slow.sendall(sent)
        answer = answered(slow)

    assert answer.startswith(said)
    assert closed(registry, "head too slow") == 1


def test_dribbling_a_head_does_not_buy_time(
    port: int, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A byte now and then keeps no connection: the time is that of the whole head.
    """
    monkeypatch.setattr(connections, "HEAD_S", 0.3)

    with connected(port) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                slow.sendall(b"a: b\r\n")
                time.sleep(0.01)

    eventually(lambda: closed(registry, "head too slow") == 1)


@pytest.mark.parametrize("path", ["/", "/early"])
def test_a_body_is_not_waited_for_for_ever(
    port: int, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """
    Neither before the answer nor, where that came early, after it.
    """
    monkeypatch.setattr(connections, "BODY_S", 0.2)

    with connected(port) as slow:
        slow.sendall(f"POST {path} HTTP/1.1\r\ncontent-length: 1000\r\n\r\nx".encode())
        answered(slow)

    assert closed(registry, "body too slow") == 1


def test_an_idle_connection_is_closed(port: int, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    After its answer; blank lines between two requests are no request.
    """
    monkeypatch.setattr(connections, "IDLE_S", 0.3)

    with connected(port) as idle:
        idle.sendall(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab")
        idle.sendall(b"\r\n")
        answer = answered(idle)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert closed(registry, "idle") == 1


def test_a_reader_that_does_not_read_is_closed(
    port: int, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An answer is not kept in memory for somebody who never fetches it.
    """
    monkeypatch.setattr(connections, "WRITE_S", 0.2)

    with connected(port) as lazy:
        lazy.sendall(b"GET /large HTTP/1.1\r\n\r\n")

        eventually(lambda: closed(registry, "reader too slow") == 1)


# --- large ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"v" * 1000) for n in range(1000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"v" * (1 << 20) + b"\r\n\r\n",
        b"GET /" + b"p" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"v" * (33 << 10) + b"\r\n\r\n",
    ],
    ids=["many", "one", "path", "a little over"],
)
def test_a_large_head_is_refused(port: int, registry: CollectorRegistry, head: bytes) -> None:
    """
    A megabyte of head is not kept: 431 or a closed connection, and the next one is served.
    """
    with connected(port) as wordy:
        with contextlib.suppress(OSError):
            wordy.sendall(head)
        answered(wordy)

    assert closed(registry, "head too large") == 1
    assert get(port, body=b"abc") == b"3"


def test_a_long_body_is_no_long_head(port: int) -> None:
    """
    What comes in one piece with the head is not counted with it.
    """
    assert get(port, body=bytes(3 << 20)) == str(3 << 20).encode()


# --- many -----------------------------------------------------------------------------------------


def test_the_connection_that_is_idle_for_longest_makes_room(port: int, registry: CollectorRegistry) -> None:
    """
    Beyond the bound the oldest idle one is closed, the new one is served, and one with a request in hand stays.
    """
    with connected(port) as busy:
        busy.sendall(b"POST /slow HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        idle = [connected(port) for _ in range(MOST - 1)]
        eventually(lambda: registry.get_sample_value(CONNECTIONS, {"door": "http"}) == MOST)

        served = get(port, body=b"abc")
        first = answered(idle[0])
        free.set()
        waited = answered(busy)

    assert served == b"3"
    assert first == b""
    assert waited.startswith(b"HTTP/1.1 200 ")
    assert closed(registry, "made room") == 1
    for one in idle:
        one.close()


def test_where_all_are_busy_the_next_is_told_to_come_back(port: int, registry: CollectorRegistry) -> None:
    """
    503 with a short Retry-After, rather than to wait without an end.
    """
    request = b"POST /slow HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    busy = [connected(port) for _ in range(MOST)]
    for one in busy:
        one.sendall(request)
    eventually(lambda: len(entered) == MOST)

    with connected(port) as late:
        said = answered(late)
    free.set()
    answers = [answered(one) for one in busy]

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in said
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    for one in busy:
        one.close()


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Makes a certificate of this machine under the same two names."""

    def make(name: str) -> tuple[Path, Path]:
        chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-keyout", str(key), "-out", str(chain)],
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip
        return chain, key

    return make


def presented(port: int) -> bytes:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=DEADLINE_S).encode()


def test_every_door_speaks_tls_and_reads_a_renewed_certificate(
    start: Callable[..., Any], command: Callable[..., Any], made: Callable[[str], tuple[Path, Path]]
) -> None:
    """
    HTTP, the store and gRPC; SIGHUP shows new connections the new certificate, and one that is broken is not taken.
    """
    chain, key = made("first")
    server = start(FOREWARN_TLS_CERT=str(chain), FOREWARN_TLS_KEY=str(key))
    doors = [server.ready[name] for name in ("http", "store", "grpc")]
    ports = [int(url.rpartition(":")[2]) for url in doors]
    before = chain.read_bytes()
    trusting = ssl.create_default_context(cafile=chain)
    with urllib.request.urlopen(f"{server.ready['http']}/readyz", context=trusting, timeout=10) as answer:
        ready = answer.status
    code = exported(ports[2], before, server.ready["keys"]["production"])
    with pytest.raises(http.client.HTTPException):
        get(ports[0])
    shown = [presented(port) for port in ports]
    doctor = command("doctor", "--json", FOREWARN_DATA="data", FOREWARN_TLS_CERT=str(chain), FOREWARN_TLS_KEY=str(key))
    health = {check["name"]: check["health"] for check in json.loads(doctor.stdout)["checks"]}

    chain.write_bytes(b"broken")
    server.process.send_signal(signal.SIGHUP)
    made("second")
    renewed = chain.read_bytes()
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: all(presented(port) == renewed for port in ports))

    status, errors = server.stop()
    assert all(url.startswith("https://") for url in doors)
    assert ready == 200
    assert code == b""
    assert shown == [before] * 3
    assert [health[name] for name in ("serve", "grpc", "store")] == ["ok"] * 3
    assert status == 0
    assert "without TLS" not in errors


def exported(port: int, chain: bytes, key: str) -> bytes:
    """The answer to an empty request over gRPC."""
    credentials = grpc.ssl_channel_credentials(chain)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        return export(b"", metadata=[("authorization", f"Bearer {key}")], timeout=10)


def test_a_certificate_that_cannot_be_used_stops_the_start(made: Callable[[str], tuple[Path, Path]]) -> None:
    """
    With both files' names and what they have to be; the key's content is not shown.
    """
    chain, key = made("first")
    secret = key.read_text().splitlines()[1]
    key.write_text("no key")

    with pytest.raises(CannotServe, match=r"chain\.pem with the key .*key\.pem cannot be used") as fault:
        Certificate(chain, key)

    assert secret not in str(fault.value)


def test_half_of_a_certificate_is_wrong_use(command: Callable[..., Any]) -> None:
    """
    A chain without its key is a slip, and never served without TLS.
    """
    done = command("serve", "--data", "data", "--http", "127.0.0.1:0", "--tls-cert", "chain.pem")

    assert done.returncode == 2
    assert "tls_cert and tls_key belong together" in done.stderr


def test_a_door_beyond_this_machine_without_tls_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    Each such door with its address and both ways out; a door for this machine alone is not.
    """
    from forewarn_control.doors import Doors
    from forewarn_control.roles import Roles
    from forewarn_control.settings import load

    flags = {"data": tmp_path, "http": "0.0.0.0:0", "grpc": "127.0.0.1:0", "store_http": "127.0.0.1:0"}
    settings, metrics = load(flags, folder=tmp_path).settings, DoorMetrics(CollectorRegistry())

    with caplog.at_level(logging.WARNING), Doors.listening(settings, Roles(lambda: None), metrics):
        pass

    (warned,) = [record.getMessage() for record in caplog.records]
    assert "door http is open at 0.0.0.0:" in warned
    assert "--tls-cert" in warned


# --- gRPC's door, and the end ---------------------------------------------------------------------


def test_a_grpc_port_in_use_is_named_with_the_way_out(command: Callable[..., Any]) -> None:
    """
    As for the other doors: which address, who has it, how to take another.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command(
            "serve", "--data", "data", "--http", "127.0.0.1:0", "--store-http", "127.0.0.1:0", "--grpc", address
        )

    assert done.returncode == 3
    assert f"forewarn: {address} is in use by another process" in done.stderr
    assert "--grpc 127.0.0.1:0" in done.stderr


def test_the_end_is_announced_before_the_doors_close(start: Callable[..., Any]) -> None:
    """
    After SIGTERM `/readyz` is 503, a new request is told to come back, one in hand is still answered; then it ends.
    """
    server = start(FOREWARN_DRAIN="1s")
    url, key = server.ready["http"], server.ready["keys"]["production"]
    port = int(url.rpartition(":")[2])
    head = f"POST /v1/traces HTTP/1.1\r\nauthorization: Bearer {key}\r\ncontent-type: application/x-protobuf\r\n"
    with connected(port) as in_hand:
        in_hand.sendall(f"{head}content-length: 2\r\n\r\n\n".encode())
        eventually(lambda: b"requests_in_flight 1.0" in fetched(f"{url}/metrics")[1])
        os.kill(server.process.pid, signal.SIGTERM)
        eventually(lambda: fetched(f"{url}/readyz")[0] == 503)
        stopping = fetched(f"{url}/readyz")[1]
        with connected(port) as late:
            late.sendall(f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode())
            refused = answered(late)
        in_hand.sendall(b"\x00")
        taken = answered(in_hand)

    _, errors = server.process.communicate(timeout=30)
    assert b'"doors": "stopping"' in stopping
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in refused
    assert taken.startswith(b"HTTP/1.1 200 ")
    assert (server.process.returncode, errors) == (0, "")


def fetched(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
