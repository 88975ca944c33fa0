"""
For benchmarks: a real `forewarn serve` on a folder of its own, its agents and bulk senders, each a process.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import clean_environment

_READY_WITHIN_S = 120


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and what an agent's environment needs."""

    pid: int
    folder: Path
    http: str
    keys: dict[str, str]
    agents_environment: dict[str, str] = field(repr=False)


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[Server]:
    """`forewarn serve` with its data in the folder, on free ports; stopped in an orderly way at the end."""
    environment = clean_environment() | {"FOREWARN_GRPC": "127.0.0.1:0"} | variables
    command = [str(Path(sys.executable).with_name("forewarn")), "serve", "--json", "--data", str(folder / "data")]
    command += ["--http", "127.0.0.1:0", "--store-http", "127.0.0.1:0"]
    said, log = folder / "serve.out", folder / "serve.log"
    with said.open("w") as out, log.open("w") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment, cwd=folder)
    try:
        ready = _first_line(process, said, log)
        told = {
            "FOREWARN_ENDPOINT": ready["http"],
            "FOREWARN_KEY": ready["keys"]["production"],
            "FOREWARN_SPOOL": str(folder / "spool"),
        }
        yield Server(process.pid, folder, ready["http"], ready["keys"], clean_environment() | told)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _first_line(process: subprocess.Popen[bytes], said: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _READY_WITHIN_S
    while "\n" not in (text := said.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"`forewarn serve` did not start: {log.read_text()[-500:]}")
        time.sleep(0.05)
    ready: dict[str, Any] = json.loads(text.splitlines()[0])
    return ready


class Receiver(asyncio.Protocol):
    """As little of a paging service as keeps the clock honest: notes when the page of each call was complete."""

    def __init__(self, arrived: dict[int, int]) -> None:
        self._arrived = arrived
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
            if len(rest) < length:
                return
            now, body, self._buffer = time.time_ns(), rest[:length], rest[length:]
            arguments = json.loads(body)["payload"]["custom_details"]["arguments"]
            if "number" in arguments:
                self._arrived.setdefault(arguments["number"], now)
            self._transport.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n{"status":"success"}')


@asynccontextmanager
async def paging(parent: Path) -> AsyncIterator[tuple[Server, dict[int, int]]]:
    """A server that pages this process, and when the page of each numbered call arrived."""
    arrived: dict[int, int] = {}
    receiver = await asyncio.get_running_loop().create_server(lambda: Receiver(arrived), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/v2/enqueue"
    target = {"FOREWARN_PAGERDUTY_ROUTING_KEY": "0" * 32, "FOREWARN_PAGERDUTY_URL": address}
    try:
        with (
            tempfile.TemporaryDirectory(dir=parent, prefix="forewarn-bench-", ignore_cleanup_errors=True) as folder,
            serving(Path(folder), **target) as server,
        ):
            yield server, arrived
    finally:
        receiver.close()


async def act(server: Server, *options: str) -> list[dict[str, int]]:
    """The calls that an agent made (`acting_agent.py`): number, when called, when begun, when ended, in nanoseconds."""
    script = str(Path(__file__).with_name("acting_agent.py"))
    agent = await asyncio.create_subprocess_exec(
        sys.executable, script, *options, stdout=subprocess.PIPE, env=server.agents_environment, cwd=server.folder
    )
    output, _ = await agent.communicate()
    if agent.returncode:
        sys.exit(f"the agent ended with status {agent.returncode}")
    calls: list[dict[str, int]] = json.loads(output)
    return calls


@asynccontextmanager
async def bulk(server: Server, rate: int) -> AsyncIterator[dict[str, Any]]:
    """So many spans a second through the same gateway meanwhile; what came of it is filled in at the end."""
    outcome: dict[str, Any] = {}
    if not rate:
        yield outcome
        return
    sender = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("bulk_sender.py")),
        *(server.http, server.keys["production"], str(rate)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    await sender.stdout.readline()  # it has its bodies ready, and has begun
    try:
        yield outcome
    finally:
        sender.stdin.close()
        outcome |= json.loads(await sender.stdout.readline() or b"{}")
        await sender.wait()
