"""A request as admission sees it, whatever it came over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from forewarn_collector.gateway.asgi import Receive, Scope, header, read_body
from forewarn_collector.gateway.errors import TooSlow
from forewarn_collector.gateway.payload import Form

Hold = Callable[[int], None]
"""Told how many bytes of the body are in memory before they are; may raise `Refused`."""


class Incoming(Protocol):
    """What is asked of a request, in this order."""

    @property
    def authorization(self) -> str:
        """The header of this name."""
        ...

    def form(self) -> Form:
        """How the body is written; raises `UnknownMediaType`."""
        ...

    async def body(self, *, limit: int, hold: Hold) -> bytes:
        """The whole of it as it was sent; raises `TooLarge`."""
        ...


class OverHttp:
    """A request to the ASGI applications."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive

    @property
    def authorization(self) -> str:
        return header(self._scope, b"authorization")

    def form(self) -> Form:
        return Form.named(header(self._scope, b"content-type"), header(self._scope, b"content-encoding"))

    async def body(self, *, limit: int, hold: Hold) -> bytes:
        return await read_body(self._scope, self._receive, limit=limit, hold=hold)


async def in_time(incoming: Incoming, *, limit: int, hold: Hold, within_s: float) -> bytes:
    """The body, of a sender that does not take for ever; raises `TooSlow`."""
    try:
        async with asyncio.timeout(within_s):  # unlike `wait_for`, it costs no task of its own
            return await incoming.body(limit=limit, hold=hold)
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {within_s:g} s.", do="Send the same again.") from error
