"""
The connections of one HTTP door, with the patience that uvicorn lacks: it waits for ever for a head and for a body,
bounds neither the size of a head nor (without refusing everybody) the number of connections.

At the bound the connection that has been idle for longest makes room: whoever holds thousands holds them against
itself, and an honest sender still gets in.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from enum import StrEnum
from functools import partial
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTIONS: Final = "forewarn_connections"
"""Gauge by `door`: open now."""
CLOSED: Final = "forewarn_connections_closed_total"
"""Counter by `door` and `why`: connections that we closed, for a reason of `Why`."""

HEAD_S: Final = 10.0
"""How long a head may take to arrive, from the connection's or its own first byte."""
BODY_S: Final = 40.0
"""Beyond what applications wait themselves: they answer, this only closes."""
IDLE_S: Final = 75.0
WRITE_S: Final = 30.0
"""How long an answer may wait for its reader."""
HEAD_BYTES: Final = 32 << 10
_FILES_BESIDE: Final = 512
"""Of a process: log, store, state, targets, and connections whose end is under way."""

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)

_log = logging.getLogger(__name__)


class Why(StrEnum):
    """Why we closed a connection."""

    MADE_ROOM = "made room"
    TOO_MANY = "too many"
    HEAD_TOO_SLOW = "head too slow"
    HEAD_TOO_LARGE = "head too large"
    BODY_TOO_SLOW = "body too slow"
    READER_TOO_SLOW = "reader too slow"
    IDLE = "idle"
    NO_HTTP = "no HTTP"


class DoorMetrics:
    """Of all doors of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge(CONNECTIONS, "Open connections.", ["door"], registry=registry)
        self.closed = Counter(CLOSED, "Connections that were closed.", ["door", "why"], registry=registry)


class Crowd:
    """All connections of a door; used on its event loop alone."""

    def __init__(self, door: str, most: int, metrics: DoorMetrics) -> None:
        self._most = most
        self.door = door
        self._metrics = metrics
        self._open = 0
        self._idle: dict[Connection, None] = {}
        """Without a request in hand, the one that is so for longest first."""

    def joined(self, connection: Connection) -> bool:
        """False where there is no room for it, not even by closing an idle one."""
        self._open += 1
        self._metrics.connections.labels(self.door).set(self._open)
        if self._open > self._most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            oldest.end(Why.MADE_ROOM)
        self.idle(connection)
        return True

    def left(self, connection: Connection) -> None:
        self._open -= 1
        self._metrics.connections.labels(self.door).set(self._open)
        self._idle.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        self._idle[connection] = None

    def busy(self, connection: Connection) -> None:
        self._idle.pop(connection, None)

    def closed(self, connection: Connection, why: Why) -> None:
        self._idle.pop(connection, None)
        self._metrics.closed.labels(self.door, why).inc()


class Connection(HttpToolsProtocol):
    """uvicorn's, with one timer for whatever is being waited for."""

    def __init__(self, *args: Any, crowd: Crowd, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._crowd = crowd
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = self._parsed_bytes = 0
        """Of a head: what came in pieces that did not end it, and what of it is parsed. Either may be far ahead."""
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        if self._crowd.joined(self):
            self._wait(HEAD_S, Why.HEAD_TOO_SLOW)
        else:
            self.end(Why.TOO_MANY, _TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self._reader_is_back()
        self._crowd.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        super().data_received(data)
        if self._in_head and not self._ended:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.end(Why.HEAD_TOO_LARGE, _TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._parsed_bytes = True, 0, 0
        self._wait(HEAD_S, Why.HEAD_TOO_SLOW)

    def on_url(self, url: bytes) -> None:
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._ended:
            return
        self._crowd.busy(self)
        self._wait(BODY_S, Why.BODY_TOO_SLOW)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._ended:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._ended:
            self._wait_no_more()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self._ended and not self.transport.is_closing():
            self._crowd.idle(self)
            if self._timer is None:  # else its body is still arriving, and is waited for no longer than before
                self._wait(IDLE_S, Why.IDLE)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(WRITE_S, partial(self.end, Why.READER_TOO_SLOW))

    def resume_writing(self) -> None:
        self._reader_is_back()
        super().resume_writing()

    def end(self, why: Why, last_words: bytes = b"") -> None:
        """Close it now. What a request in hand still does is done; its answer has no reader."""
        if self._ended:
            return
        self._ended = True
        self._wait_no_more()
        self._crowd.closed(self, why)
        if last_words:
            self.transport.write(last_words)
            self.transport.close()
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        if not self._ended:
            self._crowd.closed(self, Why.NO_HTTP)
            super().send_400_response(msg)

    def _fits(self, more: int) -> bool:
        self._parsed_bytes += more
        if self._parsed_bytes > HEAD_BYTES:
            self.end(Why.HEAD_TOO_LARGE, _TOO_LARGE)
        return not self._ended

    def _wait(self, seconds: float, why: Why) -> None:
        self._wait_no_more()
        self._timer = self.loop.call_later(seconds, self._waited, why)

    def _waited(self, why: Why) -> None:
        is_told = why is Why.HEAD_TOO_SLOW and self._head_bytes > 0
        self.end(why, _TOO_SLOW if is_told else b"")

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reader_is_back(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None


def make_room(most: int, *, doors: int) -> None:
    """Ask the system for as many open files as the doors may need; say so where it has too few even for one."""
    wanted = most * doors + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in {soft, hard} and soft < wanted:
        given = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
        if given < most + _FILES_BESIDE:
            _log.warning("the system allows %d open files, which are too few for %d connections", given, most)
