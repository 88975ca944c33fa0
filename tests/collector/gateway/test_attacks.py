"""
The gateway under attack, in a process of its own behind its real doors: it stays up, its memory is bounded, and an
honest sender is acknowledged all the while. `--thorough` makes the crowds ten thousand.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import resource
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from backports import zstd

from forewarn.conventions import LANE_HEADER, LANE_STARTS
from forewarn_collector.gateway.otlp_grpc import EXPORT

TRACES = "/v1/traces"
PROTOBUF = "application/x-protobuf"
MOST = 1000
"""Connections that the attacked door has room for: fewer than come."""
DEADLINE_S = 60.0
GROWN_MB = 300
"""More than anything here may make the process weigh for long: a bomb would make it gigabytes."""


@pytest.fixture
def attackers(thorough: bool) -> int:
    """How many attack at once."""
    return 10_000 if thorough else 2_000


@dataclass
class Attacked:
    process: subprocess.Popen[str]
    http: int
    grpc: int
    key: str
    revoked: str

    def megabytes(self) -> float:
        """What the process weighs now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def metric(self, line: str) -> float:
        """The value of a line of `/metrics`; 0 where there is none."""
        answer = self.post(path="/metrics", method="GET")[1].decode()
        return sum(float(one.rpartition(" ")[2]) for one in answer.splitlines() if one.startswith(line))

    def post(
        self, body: bytes = b"", *, path: str = TRACES, method: str = "POST", key: str = "", **headers: str
    ) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.http, timeout=DEADLINE_S)
        with contextlib.closing(client):
            sent = {"content-type": PROTOBUF, "authorization": f"Bearer {key or self.key}"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(method, path, body, sent)
            answer = client.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    script = Path(__file__).with_name("attacked.py")
    command = [sys.executable, str(script), str(tmp_path_factory.mktemp("attacked")), str(MOST)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Attacked(process, **json.loads(process.stdout.readline()))
        process.communicate(timeout=30)
    assert process.returncode == 0


@dataclass
class Honest:
    """A sender of start records, each on a connection of its own as the worst case; it goes on until the block ends."""

    attacked: Attacked
    body: bytes
    codes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._over.is_set() or len(self.codes) < 10:
            began = time.perf_counter()
            self.codes.append(self.attacked.post(self.body, **{LANE_HEADER: LANE_STARTS})[0])
            self.seconds.append(time.perf_counter() - began)

    def told(self) -> str:
        """For whoever runs this with `-rP`: no assertion is made of it."""
        ordered = sorted(self.seconds)
        at = [1e3 * ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99, 1)]
        return f"{len(ordered)} acknowledged, p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, slowest {at[2]:.1f} ms"


@pytest.fixture
def honest(attacked: Attacked, otlp: Any) -> Iterator[Honest]:
    """Around an attack: all of it acknowledged, and the process weighs no more than it may."""
    before = attacked.megabytes()
    with Honest(attacked, otlp.request(otlp.span(1, ended=False))) as sender:
        yield sender
    after = attacked.megabytes()
    print(f"{sender.told()}; {before:.0f} MB before, {after:.0f} MB after")
    assert set(sender.codes) == {200}
    assert after - before < GROWN_MB
    assert attacked.process.poll() is None


def crowd(count: int) -> int:
    """As many as this process may open, and says so where that is fewer than asked for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 200), hard))
        soft = min(hard, count + 200)
    if soft < count + 200:
        pytest.skip(f"the system allows {soft} open files, {count} connections need more")
    return count


def dribbling(port: int, beginning: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    connection.sendall(beginning)
    return connection


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="idle"),
        pytest.param(b"POST /v1/traces HTTP/1.1\r\nhost: a\r\nx-slow: ", id="a head that never ends"),
        pytest.param(b"POST /v1/traces HTTP/1.1\r\ncontent-length: 1000\r\n\r\nx", id="a body that never ends"),
    ],
)
def test_a_crowd_that_says_little_keeps_nobody_out(
    attacked: Attacked, honest: Honest, attackers: int, beginning: bytes
) -> None:
    """
    Twice and more the connections that there is room for: the oldest make room, for them and for the honest one.
    """
    with contextlib.ExitStack() as crowded:
        for _ in range(crowd(attackers)):
            crowded.enter_context(dribbling(attacked.http, beginning))
        weight = attacked.megabytes()
        open_now = attacked.metric("forewarn_connections{")

    print(f"{attackers} connections, {open_now:.0f} open at once, {weight:.0f} MB with them")
    assert open_now <= MOST + 10
    assert attacked.metric('forewarn_connections_closed_total{door="http",why="made room"}') > 0


def test_a_crowd_at_the_grpc_door_keeps_nobody_out(
    attacked: Attacked, honest: Honest, attackers: int, otlp: Any
) -> None:
    """
    gRPC's own bounds: what says nothing weighs little, and HTTP is another door.
    """
    with contextlib.ExitStack() as crowded:
        for _ in range(crowd(attackers)):
            crowded.enter_context(contextlib.suppress(OSError))
            crowded.enter_context(dribbling(attacked.grpc, b""))

    with grpc.insecure_channel(f"127.0.0.1:{attacked.grpc}") as channel:
        export = channel.unary_unary(EXPORT)
        answer = export(
            otlp.request(otlp.span(1)),
            metadata=[("authorization", f"Bearer {attacked.key}")],
            timeout=DEADLINE_S,
            wait_for_ready=True,
        )
    assert answer == b""


@pytest.mark.parametrize("kind", ["gzip", "zstd", "gzip over gRPC"])
def test_bombs_do_not_go_off(attacked: Attacked, honest: Honest, kind: str) -> None:
    """
    A gigabyte in a megabyte or less, again and again with a valid key: refused without becoming it.
    """
    zeros = bytes(256 << 20)
    bomb = zstd.compress(zeros) * 4 if kind == "zstd" else gzip.compress(zeros, 6) * 4
    refused: list[object] = []

    for _ in range(8):
        if kind.endswith("gRPC"):
            with grpc.insecure_channel(f"127.0.0.1:{attacked.grpc}") as channel, pytest.raises(grpc.RpcError) as told:
                channel.unary_unary(EXPORT)(bomb, metadata=[("authorization", f"Bearer {attacked.key}")], timeout=60)
            refused.append(told.value.code())
        else:
            refused.append(attacked.post(bomb, content_encoding=kind)[0])

    assert set(refused) == ({grpc.StatusCode.RESOURCE_EXHAUSTED} if kind.endswith("gRPC") else {413})


def test_wrong_and_revoked_keys_are_cheap(attacked: Attacked, honest: Honest, attackers: int) -> None:
    """
    Thousands of guesses on a few connections: each 401, each counted by its reason, none of them slow for the others.
    """
    known = attacked.key.rpartition("_")[0]
    kinds: list[Callable[[], str]] = [
        lambda: f"fwk_production_{secrets.token_hex(4)}_{secrets.token_hex(32)}",
        lambda: f"{known}_{secrets.token_hex(32)}",
        lambda: attacked.revoked,
        lambda: "nonsense",
    ]
    codes: set[int] = set()
    began = time.perf_counter()
    client = http.client.HTTPConnection("127.0.0.1", attacked.http, timeout=DEADLINE_S)

    with contextlib.closing(client):
        for number in range(attackers * 2):
            headers = {"content-type": PROTOBUF, "authorization": f"Bearer {kinds[number % 4]()}"}
            client.request("POST", TRACES, b"", headers)
            answer = client.getresponse()
            answer.read()
            codes.add(answer.status)

    print(f"{attackers * 2 / (time.perf_counter() - began):.0f} refused a second")
    counted = {why: attacked.metric(f'forewarn_gateway_keys_refused_total{{why="{why}"}}') for why in WHY}
    assert codes == {401}
    assert all(counted[why] >= attackers / 2 for why in ("unknown", "wrong", "revoked"))


WHY = ("unknown", "wrong", "revoked")


@pytest.mark.parametrize("shape", ["one header", "many headers", "path"])
def test_a_megabyte_of_head_is_not_kept(attacked: Attacked, honest: Honest, shape: str) -> None:
    """
    Refused by the time it is over the bound, a hundred times.
    """
    megabyte = b"v" * (1 << 20)
    head = {
        "one header": b"POST /v1/traces HTTP/1.1\r\nx: " + megabyte + b"\r\n\r\n",
        "many headers": b"POST /v1/traces HTTP/1.1\r\n" + b"x: y\r\n" * (1 << 18) + b"\r\n",
        "path": b"POST /" + megabyte + b" HTTP/1.1\r\n\r\n",
    }[shape]
    before = attacked.metric('forewarn_connections_closed_total{door="http",why="head too large"}')

    for _ in range(100):
        with socket.create_connection(("127.0.0.1", attacked.http), DEADLINE_S) as wordy, contextlib.suppress(OSError):
            wordy.sendall(head)
            while wordy.recv(65536):
                pass

    after = attacked.metric('forewarn_connections_closed_total{door="http",why="head too large"}')
    assert after - before == 100


def test_what_is_no_http_is_answered_and_closed(attacked: Attacked, honest: Honest) -> None:
    """
    TLS to a plain door, gRPC to the HTTP door, binary noise: none is kept, none ends it.
    """
    noise = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        *[secrets.token_bytes(2000) for _ in range(50)],
        b"GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ]

    for sent in noise:
        with socket.create_connection(("127.0.0.1", attacked.http), DEADLINE_S) as noisy, contextlib.suppress(OSError):
            noisy.sendall(sent)
            noisy.shutdown(socket.SHUT_WR)
            while noisy.recv(65536):
                pass

    assert attacked.post(b"")[0] == 200
    assert attacked.metric('forewarn_connections_closed_total{door="http",why="no HTTP"}') >= 50


def test_large_bodies_at_once_are_bounded(attacked: Attacked, honest: Honest, otlp: Any) -> None:
    """
    More bytes than there is room for, from many threads with a valid key: each is taken or told to come back.
    """
    body = otlp.request(*[otlp.span(n) for n in range(1, 30_000)])
    codes: list[int] = []
    senders = [threading.Thread(target=lambda: codes.append(attacked.post(body)[0])) for _ in range(16)]

    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    print(f"{len(body) >> 20} MiB each: {sorted(codes)}")
    assert set(codes) <= {200, 429}
    assert 200 in codes
