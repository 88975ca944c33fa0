"""A request as admission sees it, whatever it came over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from forewarn_collector.gateway.asgi import Receive, Scope, header, read_body
from forewarn_collector.gateway.errors import TooSlow
from forewarn_collector.gateway.payload import Form

Hold = Callable[[int], None]
"""Told how many bytes of the body are in memory before they are; may raise `Refused`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A body, and how it is written."""

    raw: bytes
    form: Form


class Incoming(Protocol):
    """What is asked of a request, in this order."""

    @property
    def authorization(self) -> str:
        """The header of this name."""
        ...

    async def body(self, *, limit: int, hold: Hold) -> Sent:
        """The whole of it as it was sent; raises `UnknownMediaType` before, and `TooLarge` as soon as, it is read."""
        ...


class OverHttp:
    """A request to the ASGI applications."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive

    @property
    def authorization(self) -> str:
        return header(self._scope, b"authorization")

    async def body(self, *, limit: int, hold: Hold) -> Sent:
        form = Form.named(header(self._scope, b"content-type"), header(self._scope, b"content-encoding"))
        return Sent(await read_body(self._scope, self._receive, limit=limit, hold=hold), form)


async def in_time(incoming: Incoming, *, limit: int, hold: Hold, within_s: float) -> Sent:
    """The body, of a sender that does not take for ever; raises `TooSlow`."""
    try:
        async with asyncio.timeout(within_s):  # unlike `wait_for`, it costs no task of its own
            return await incoming.body(limit=limit, hold=hold)
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {within_s:g} s.", do="Send the same again.") from error
