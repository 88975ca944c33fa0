"""
The doors, each a role: a server in a thread with an event loop of its own. `run` serves until the event is set,
answers what is in flight, and closes its socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

import grpc
import uvicorn

from forewarn_collector.gateway.otlp_grpc import TraceService
from forewarn_control.address import Address
from forewarn_control.certificate import Certificate
from forewarn_control.connections import IDLE_S, Connection, Crowd
from forewarn_control.errors import CannotServe

_GRACE_S: Final = 5
"""How long requests in flight may take when the server stops taking new ones."""
_POLL_S: Final = 0.1

Application = Callable[..., Any]
"""An ASGI application."""


class Door(Protocol):
    """What the house opens and closes."""

    @property
    def name(self) -> str: ...
    @property
    def started(self) -> threading.Event: ...
    def run(self, stop: threading.Event) -> None: ...


class HttpServer:
    """uvicorn on a socket that is already bound."""

    def __init__(
        self, application: Application, listener: socket.socket, crowd: Crowd, *, certificate: Certificate | None = None
    ) -> None:
        self.name = crowd.door
        self.started = threading.Event()
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http=cast("type[asyncio.Protocol]", partial(Connection, crowd=crowd)),  # uvicorn only calls it
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                timeout_keep_alive=int(IDLE_S),
                ssl_context_factory=_context_of(certificate) if certificate else None,
            )
        )

    def run(self, stop: threading.Event) -> None:
        """The role."""
        with self._listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve(stop))

    async def _serve(self, stop: threading.Event) -> None:
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]), name=self.name)
        while not serving.done():
            if self._server.started:
                self.started.set()
            self._server.should_exit = stop.is_set()
            await asyncio.wait([serving], timeout=_POLL_S)
        await serving


class GrpcServer:
    """gRPC's own server; it binds its address itself."""

    def __init__(
        self,
        name: str,
        service: TraceService,
        address: Address,
        *,
        options: list[tuple[str, int]],
        certificate: Certificate | None = None,
    ) -> None:
        self.name = name
        self.started = threading.Event()
        self.address = address
        """With the port that was given, once it has started."""
        self._service = service
        self._options = options
        self._certificate = certificate

    def run(self, stop: threading.Event) -> None:
        """The role."""
        asyncio.run(self._serve(stop))

    async def _serve(self, stop: threading.Event) -> None:
        server = grpc.aio.server(handlers=[self._service], options=self._options)
        try:
            if self._certificate is None:
                port = server.add_insecure_port(str(self.address))
            else:
                port = server.add_secure_port(str(self.address), self._certificate.for_grpc())
        except RuntimeError as fault:
            raise CannotServe(f"cannot listen on {self.address}: {fault}") from fault
        await server.start()
        self.address = Address(self.address.host, port)
        self.started.set()
        await asyncio.to_thread(stop.wait)
        await server.stop(_GRACE_S)


def _context_of(certificate: Certificate) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    return lambda _config, _default: certificate.context


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # not on every platform; asyncio's own loop serves as well
        return None
    return uvloop.new_event_loop
