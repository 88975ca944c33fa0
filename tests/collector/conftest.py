"""A store with a few rows behind the facade, on a free port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.facade import Facade
from forewarn_collector.store.sessions import Limits


@dataclass(frozen=True)
class Served:
    """Where the facade listens, and who may ask."""

    url: str
    user: str
    password: str
    store: EmbeddedStore

    @property
    def auth(self) -> tuple[str, str]:
        return self.user, self.password

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture(scope="module")
def served(store_home: Path, otlp: Any, request: pytest.FixtureRequest) -> Iterator[Served]:
    database = f"facade_{request.module.__name__.rpartition('.')[2]}"
    store = EmbeddedStore(store_home, database=database)
    store.migrate()
    store.insert_spans([otlp.record(otlp.span(1, ended=False), otlp.span(2))], token="1")
    store.insert_spans([otlp.record(otlp.span(1))], token="2")
    limits = Limits(seconds=2, result_rows=20_000, result_bytes=16 << 20)
    facade = Facade(store, user="reader", password="s3cret", limits=limits, concurrent=2, waiting=6)
    server = _Server(uvicorn.Config(facade, port=0, lifespan="off", ws="none", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.listening.wait(10)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(f"http://127.0.0.1:{port}", "reader", "s3cret", store)
    server.should_exit = True
    thread.join(10)
    facade.close()
    store.query(f"DROP DATABASE {database} SYNC")
    store.close()


@pytest.fixture
def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
