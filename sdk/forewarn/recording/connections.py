"""
Kept connections to one gateway, for the exchange that a call waits for.

The standard library's client rather than urllib3's: 0.2 instead of 0.5 ms of a call's wait in the median. What that
leaves to do is here: which connection is still good, and how long an answer may take.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from http.client import HTTPConnection, HTTPSConnection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

LARGEST_ANSWER: Final = 1 << 16


class Reply(NamedTuple):
    """What came back; the body is cut behind `LARGEST_ANSWER`."""

    status: int
    retry_after: str
    body: bytes


class Connections:
    """Any number of threads may ask; each exchange has a connection of its own, and gives it back when it is whole."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint`: the gateway's address, `https://forewarn.example:4318`, with or without a path."""
        parts = urlsplit(endpoint)
        self._address = parts.hostname or "", parts.port
        self._prefix = parts.path
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._idle: deque[HTTPConnection] = deque()

    def post(self, path: str, body: bytes, headers: dict[str, str], *, deadline: float) -> Reply:
        """
        One exchange; raises OSError or HTTPException. `deadline`: on the monotonic clock.

        Each wait for the network ends by the deadline; an answer that comes byte by byte ends a little behind it.
        """
        connection = self._good()
        try:
            _give(connection, _left(deadline))
            connection.request("POST", self._prefix + path, body, headers)
            reply = _read(connection, deadline)
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            self._idle.append(connection)
        return reply

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _good(self) -> HTTPConnection:
        """The connection used last, if the other side has kept it open; else a new one."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.sock is not None and not _has_news(connection.sock):
                return connection
            connection.close()
        return self._kind(*self._address)


def _give(connection: HTTPConnection, left_s: float) -> None:
    """How long each wait of this connection may take from now on."""
    connection.timeout = left_s
    if connection.sock is not None:
        connection.sock.settimeout(left_s)


def _read(connection: HTTPConnection, deadline: float) -> Reply:
    # Closing the answer, read to its end, is what makes its connection ready for the next.
    with connection.getresponse() as response:
        answer = b""
        while part := response.read1(LARGEST_ANSWER):
            answer += part
            if len(answer) > LARGEST_ANSWER or time.monotonic() > deadline:
                connection.close()
                break
        return Reply(response.status, response.getheader("retry-after", ""), answer)


def _has_news(idle: socket.socket) -> bool:
    """Whether an idle connection can be read from: then it was closed, or holds what nobody asked for."""
    poller = select.poll()
    poller.register(idle, select.POLLIN)
    return bool(poller.poll(0))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for an answer is over")
    return left
