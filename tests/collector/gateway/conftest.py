"""A gateway on a real log, called directly and through a real server."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from forewarn_collector.gateway.app import Gateway
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.gateway.limits import Limits
from forewarn_collector.log.interface import Log, Record
from forewarn_collector.log.sqlite import SqliteLog
from forewarn_collector.state import open_state

MAX_BODY = 4 << 20
DEADLINE_S = 20.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.sqlite3")
    yield log
    log.close()


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyRing]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    yield KeyRing(engine)
    engine.dispose()


@pytest.fixture
def key(keys: KeyRing) -> str:
    return keys.create("production").text


@pytest.fixture
def gateway(log: SqliteLog, keys: KeyRing) -> Gateway:
    return Gateway(log, keys, limits=Limits(body=MAX_BODY), clock_ns=lambda: 1_790_000_000_000_000_000)


@pytest.fixture
def direct(key: str) -> Callable[[Any], httpx.AsyncClient]:
    """A client that calls an application directly, with a valid key."""

    def client(app: Any) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway", headers=headers)

    return client


@pytest.fixture
async def client(gateway: Gateway, direct: Callable[[Any], httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the gateway directly, with a valid key."""
    async with direct(gateway) as client:
        yield client


@pytest.fixture
def stored(log: SqliteLog) -> Callable[..., list[Record]]:
    """Everything the log holds of some topics."""

    def read(*topics: str) -> list[Record]:
        return read_all(log, topics)

    return read


def read_all(log: Log, topics: tuple[str, ...]) -> list[Record]:
    consumer = log.consumer("test", topics)
    records: list[Record] = []
    while batch := consumer.poll():
        records += batch
    consumer.close()
    return records


@dataclass(frozen=True)
class Served:
    """An application behind a real server on a free loopback port."""

    url: str
    port: int


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Served]]:
    """Starts real servers; all of them are stopped when the test is over."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Any) -> Served:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        port = listener.getsockname()[1]
        return Served(f"http://127.0.0.1:{port}", port)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
