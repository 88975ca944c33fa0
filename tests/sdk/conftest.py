"""
A gateway small enough to misbehave on demand, and a process that is set up anew for each test.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn import configuration
from forewarn.testing import Record, read_record

KEY = "fwk_production_0a1b_secretsecret"
DEVELOPMENT_KEY = "fwk_development_0a1b_secretsecret"


@dataclass
class Post:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def records(self) -> list[Record]:
        request = ExportTraceServiceRequest.FromString(self.body)
        return [
            read_record(span.SerializeToString())
            for per_resource in request.resource_spans
            for per_scope in per_resource.scope_spans
            for span in per_scope.spans
        ]


Reaction = Callable[[BaseHTTPRequestHandler, Post], None]


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, content_type: str, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("content-type", content_type)
    handler.send_header("content-length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def acknowledgement(post: Post, **changes: object) -> bytes:
    said = {"digest": hashlib.sha256(post.body).hexdigest(), "decision": "allow", "rule": None, "reason": "", **changes}
    return json.dumps(said).encode()


def behave(handler: BaseHTTPRequestHandler, post: Post) -> None:
    """What a Forewarn gateway does."""
    if post.path == "/v1/intents":
        answer(handler, 200, acknowledgement(post), "application/json")
    else:
        answer(handler, 200, b"", "application/x-protobuf")


@dataclass
class Gateway:
    """A local HTTP server; `react` is what it does with a request. Tests reach the rest of this module through it."""

    KEY = KEY
    DEVELOPMENT_KEY = DEVELOPMENT_KEY
    answer = staticmethod(answer)
    acknowledgement = staticmethod(acknowledgement)
    behave = staticmethod(behave)

    port: int = 0
    react: Reaction = behave
    posts: list[Post] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def taken(self) -> list[Record]:
        """Records that came over the spool's road, in order of arrival; without what the senders say of themselves."""
        return [record for record in self.all_taken if record["attributes"].get("gen_ai.operation.name") != "sender"]

    @property
    def of_senders(self) -> list[Record]:
        """What the senders say of themselves."""
        return [record for record in self.all_taken if record["attributes"].get("gen_ai.operation.name") == "sender"]

    @property
    def all_taken(self) -> list[Record]:
        return [record for post in self.posts if post.path == "/v1/traces" for record in post.records]

    def start(self) -> Gateway:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                post = Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                gateway.posts.append(post)
                try:
                    gateway.react(self, post)
                    self.wfile.flush()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway().start()
    yield gateway
    gateway.stop()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting comes from outside, and no setup outlives its test."""
    for name in ("ENDPOINT", "KEY", "SERVICE", "ENVIRONMENT", "ACK_TIMEOUT", "UNREACHABLE"):
        monkeypatch.delenv(f"FOREWARN_{name}", raising=False)
    monkeypatch.setenv("FOREWARN_SPOOL", str(tmp_path / "unconfigured"))
    monkeypatch.chdir(tmp_path)
    yield
    if configuration._setup is not None:
        configuration._setup.close(0.0)
    configuration._setup = configuration._runtime = None


def eventually(look: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """The first true answer of `look`; fails with the last one when the time is over."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s} s; last seen: {seen!r}")
        time.sleep(0.01)
    return seen


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    return eventually
