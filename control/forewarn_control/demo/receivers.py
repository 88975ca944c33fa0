"""
Local stand-ins for the services that page people: they check a request as the documented API does, and note when.

They are labelled as local wherever they are shown. A request that the real service would refuse is refused here with
the same status, and kept with its reasons.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

_MAX_BODY: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    received_at_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says. `reasons` is empty where it takes the request."""

    status: int
    content_type: str
    body: bytes
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A request that was taken: its JSON body and its time of arrival."""

    received_at_ns: int
    body: dict[str, Any]


Service = Callable[[Request], Answer]
"""One service's documented behaviour, as a pure function."""


@dataclass
class Receiver:
    """A service on a free local port, from `with` to the end of the block."""

    name: str
    service: Service
    pages: list[Page] = field(default_factory=list)
    refused: list[Answer] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=f"local {self.name}")
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, request: Request) -> Answer:
        """Ask the service, and keep what came of it."""
        answer = self.service(request)
        with self._changed:
            if answer.reasons:
                self.refused.append(answer)
            else:
                self.pages.append(Page(request.received_at_ns, json.loads(request.body)))
            self._changed.notify_all()
        return answer

    def wait(self, wanted: Callable[[Page], bool], *, timeout_s: float) -> Page | None:
        """The first page that is wanted; None where it has not come in time, or as soon as a request was refused."""
        with self._changed:
            self._changed.wait_for(lambda: self.refused or any(map(wanted, self.pages)), timeout_s)
            return next(filter(wanted, self.pages), None)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            received_at_ns = time.time_ns()
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _MAX_BODY:
                self.send_error(411 if not length.isdecimal() else 413)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(length))
            answer = receiver.take(Request(self.command, self.path, headers, body, received_at_ns))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_PUT = _respond  # noqa: N815 -- the names are the standard library's

        def log_message(self, *_arguments: object) -> None:
            """Silence: the demo itself says what arrived."""

    return Handler
