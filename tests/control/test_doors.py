"""
What the doors of a house bear: slow and oversized senders, too many connections, TLS, an orderly end.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from forewarn_control import connections
from forewarn_control.address import Address, listen
from forewarn_control.connections import CLOSED, CONNECTIONS, Crowd, DoorMetrics
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
