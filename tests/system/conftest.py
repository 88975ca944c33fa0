"""
A real server and real agents, each a process of its own, for the tests that kill them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from forewarn_collector.store.reader import Reader

AGENTS = Path(__file__).parent / "agents"
FOREWARN = Path(sys.executable).with_name("forewarn")


def _eventually(look: Callable[[], Any], *, within_s: float = 30, but: str = "") -> Any:
    """The first true answer of `look`; fails with what was seen last when the time is over."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s} s: {but} (last seen: {seen!r})")
        time.sleep(0.05)
    return seen


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return _eventually


@dataclass
class Pagers:
    """A local stand-in for the two paging services: it keeps what it is sent, and answers as they document it."""

    url: str
    pagerduty: list[dict[str, Any]] = field(default_factory=list)
    slack: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def _receiving() -> Iterator[Pagers]:
    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v2/enqueue":
                kept.pagerduty.append(body)
                self.answer(202, json.dumps({"status": "success", "message": "Event processed"}).encode())
            else:
                kept.slack.append(body)
                self.answer(200, b"ok")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    kept = Pagers(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def pagers() -> Iterator[Pagers]:
    with _receiving() as kept:
        yield kept


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serve:
    """`forewarn serve` on one data folder and fixed ports, so that it can be killed and started again."""

    def __init__(self, folder: Path, pagers: Pagers) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.ports = _free_port(), _free_port()
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FOREWARN_")},
            "FOREWARN_PAGERDUTY_ROUTING_KEY": "0" * 32,
            "FOREWARN_PAGERDUTY_URL": f"{pagers.url}/v2/enqueue",
            "FOREWARN_SLACK_WEBHOOK_URL": f"{pagers.url}/services/T0/B0/x",
        }
        (folder / "work").mkdir()

    def start(self) -> None:
        process = self.launch()
        assert process.stdout
        self.ready = json.loads(process.stdout.readline() or "null") or pytest.fail(self.log())

    def launch(self) -> subprocess.Popen[str]:
        """Start it without waiting until it is ready."""
        http, store = self.ports
        command = [FOREWARN, "serve", "--json", "--data", self.data]
        command += ["--http", f"127.0.0.1:{http}", "--store-http", f"127.0.0.1:{store}", "--grpc", "127.0.0.1:0"]
        with (self.folder / "serve.log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment, cwd=self.folder / "work"
            )
        return self.process

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=30)

    def command(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [FOREWARN, *arguments, "--data", self.data],
            capture_output=True, text=True, env=self.environment, cwd=self.folder / "work", check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stdout

    def key(self, environment: str) -> str:
        return str(json.loads(self.command("keys", "create", "--environment", environment, "--json"))["key"])

    def agent_environment(self, key: str, **more: str) -> dict[str, str]:
        http, _ = self.ports
        return {
            **self.environment,
            "FOREWARN_ENDPOINT": f"http://127.0.0.1:{http}",
            "FOREWARN_KEY": key,
            "FOREWARN_SPOOL": str(self.folder / "spool"),
            **more,
        }

    def agent(self, name: str, *arguments: str, key: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, AGENTS / f"{name}.py", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.agent_environment(key), cwd=self.folder / "work",
        )  # fmt: skip

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        endpoints = json.loads((self.data / "endpoints.json").read_text())
        reader = Reader(endpoints["store"], **endpoints["reader"])
        try:
            return [tuple(row) for row in reader.sql(text).rows]
        finally:
            reader.close()


@pytest.fixture
def serve(tmp_path: Path, pagers: Pagers) -> Iterator[Serve]:
    server = Serve(tmp_path, pagers)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serve, Pagers]]:
    """One for all tests of a module, not started yet."""
    with _receiving() as kept:
        server = Serve(tmp_path_factory.mktemp("serve"), kept)
        yield server, kept
        server.stop()
