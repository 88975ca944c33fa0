"""An HTTP server as a role: uvicorn on a socket that is already bound, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

import uvicorn

log = logging.getLogger(__name__)

_GRACE_S: Final = 5
"""How long requests in flight may take when the server stops taking new ones."""
_POLL_S: Final = 0.1

Application = Callable[..., Any]
"""An ASGI application."""


class HttpServer:
    """`run` serves until the event is set, answers what is in flight, and closes the socket."""

    def __init__(self, name: str, application: Application, listener: socket.socket) -> None:
        self.name = name
        self.started = threading.Event()
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                timeout_keep_alive=75,
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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # not on every platform; asyncio's own loop serves as well
        return None
    return uvloop.new_event_loop
