"""
Kept connections: reused while they are good, never trusted when the other side has let go of them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from forewarn.recording.connections import LARGEST_ANSWER, Connections

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Peer:
    """Answers every request with the same bytes, and hangs up after them if told to."""

    answer: bytes = WHOLE
    hangs_up: bool = False
    accepted: int = 0
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            with connection, suppress(ConnectionError):
                while connection.recv(1 << 16):
                    connection.sendall(self.answer)
                    if self.hangs_up:
                        break
            self.let_go.set()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    thread.join()


def _post(connections: Connections) -> bytes:
    return connections.post("/v1/intents", b"x", {}, deadline=time.monotonic() + 10).body


def test_one_after_the_other_share_a_connection(peer: Peer) -> None:
    """A connection whose answer was read to its end is used again."""
    connections = Connections(peer.url)

    answers = [_post(connections) for _ in range(5)]
    connections.close()

    assert answers == [b"ok"] * 5
    assert peer.accepted == 1


def test_a_connection_that_was_closed_meanwhile_is_not_used(peer: Peer) -> None:
    """A server that hangs up on idle connections costs a new connection, not an error."""
    peer.hangs_up = True
    connections = Connections(peer.url)
    _post(connections)
    assert peer.let_go.wait(10)

    answer = _post(connections)
    connections.close()

    assert answer == b"ok"
    assert peer.accepted == 2


def test_an_answer_without_end_is_cut(peer: Peer) -> None:
    """An answer larger than any of ours is read only so far, and its connection is not used again."""
    peer.answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 * LARGEST_ANSWER)
    connections = Connections(peer.url)

    answer = _post(connections)
    peer.answer = WHOLE
    second = _post(connections)
    connections.close()

    assert LARGEST_ANSWER < len(answer) <= 2 * LARGEST_ANSWER
    assert second == b"ok"
    assert peer.accepted == 2


def test_no_exchange_begins_when_the_time_is_over(peer: Peer) -> None:
    """A deadline that has passed is a timeout, without a connection."""
    connections = Connections(peer.url)

    with pytest.raises(TimeoutError):
        connections.post("/v1/intents", b"x", {}, deadline=time.monotonic() - 1)

    assert peer.accepted == 0
