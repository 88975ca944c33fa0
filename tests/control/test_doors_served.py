"""
TLS on every door of a served house, what is said of doors without it, and the orderly end; with real processes.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from forewarn_control.certificate import Certificate
from forewarn_control.connections import DoorMetrics
from forewarn_control.doors import Doors
from forewarn_control.errors import CannotServe
from forewarn_control.roles import Roles
from forewarn_control.settings import load

DEADLINE_S = 20.0


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S)


def answered(connection: socket.socket) -> bytes:
    """Everything that comes until the other side closes."""
    said = b""
    while chunk := connection.recv(65536):
        said += chunk
    return said


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
    with pytest.raises((http.client.HTTPException, OSError)):
        fetched(f"http://127.0.0.1:{ports[0]}/readyz")
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
