"""The little of ASGI that is used: types, the headers of a request, its body within a bound, an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from forewarn_collector.gateway.errors import SenderGone, WrongMethod, too_large

_JOIN_INLINE_BYTES: Final = 4 << 20
"""Copying more takes long enough to hold up the event loop; it needs no interpreter lock."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def header(scope: Scope, name: bytes) -> str:
    """The first header of that name (lower case), without the blanks around it; '' when there is none."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value.decode("latin-1").strip())
    return ""


async def read_body(scope: Scope, receive: Receive, *, limit: int, hold: Callable[[int], None]) -> bytes:
    """The whole body as it was sent; refused as soon as it is known to be over the limit, so no more is ever held."""
    announced = header(scope, b"content-length")
    expected = int(announced) if announced.isdecimal() else 0
    if expected > limit:
        raise too_large(limit)
    hold(expected)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        if size > expected:
            hold(size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return await _joined(chunks, size)


async def _joined(chunks: list[bytes], size: int) -> bytes:
    if size <= _JOIN_INLINE_BYTES:
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return await asyncio.to_thread(b"".join, chunks)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes
    content_type: str
    headers: Sequence[tuple[bytes, bytes]] = ()

    @classmethod
    def json(cls, status: int, content: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
        return cls(int(status), json.dumps(content).encode(), "application/json", headers)

    async def send(self, send: Send) -> None:
        about_body = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": [*about_body, *self.headers]})
        await send({"type": "http.response.body", "body": self.body})


def require(scope: Scope, *methods: str) -> None:
    """Refuse every other method."""
    if scope["method"] not in methods:
        allowed = ", ".join(methods)
        raise WrongMethod(f"{scope['method']} is not taken here.", do=f"Use {allowed}.", allowed=allowed)


async def lifespan(receive: Receive, send: Send) -> None:
    """Take part in the server's start and stop; there is nothing to do for either."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
