"""
`GET /traces/{id}`: where the link of a page leads. The timeline as plain text, for the store's reader only.

Plain text on purpose: what an agent wrote is shown to a browser that has just been given a password, and text has no
way to act there.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import re
from typing import Final

from rich.console import Console

from forewarn_collector.gateway.asgi import Answer, Receive, Scope, Send, header, require
from forewarn_collector.gateway.errors import WrongMethod
from forewarn_collector.store.interface import Store, StoreUnavailable
from forewarn_collector.timeline import timeline
from forewarn_collector.timeline_view import timeline_view
from forewarn_control.folder import Credentials

PREFIX: Final = "/traces/"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_WIDTH: Final = 180
_TEXT: Final = "text/plain; charset=utf-8"
_GUARDS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]


class TracePage:
    """An ASGI application for the paths below `PREFIX`."""

    def __init__(self, store: Store, reader: Credentials) -> None:
        self._store = store
        self._expected = b"Basic " + base64.b64encode(f"{reader.user}:{reader.password}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        answer = await self._answer(scope)
        await answer.send(send)

    async def _answer(self, scope: Scope) -> Answer:
        try:
            require(scope, "GET", "HEAD")
        except WrongMethod as wrong:
            return _said(wrong.status, f"{wrong} {wrong.do}\n", wrong.headers())
        if not hmac.compare_digest(header(scope, b"authorization").encode(), self._expected):
            said = (
                "Sign in as the reader whose password `forewarn serve` printed (endpoints.json in its data folder).\n"
            )
            return _said(401, said, [(b"www-authenticate", b'Basic realm="forewarn", charset="UTF-8"')])
        trace_id = scope["path"].removeprefix(PREFIX).lower()
        if not _ID.fullmatch(trace_id):
            return _said(404, "A trace id has 32 hexadecimal digits; `forewarn traces list` shows what there is.\n")
        try:
            told = await asyncio.to_thread(self._told, trace_id)
        except StoreUnavailable:
            return _said(503, "The store cannot answer now; load this again.\n", [(b"retry-after", b"1")])
        return _said(200, told) if told else _said(404, f"Nothing of {trace_id} is in the store, or not yet.\n")

    def _told(self, trace_id: str) -> str:
        rows = self._store.query("trace", {"prefix": trace_id})
        if not len(rows):
            return ""
        page = io.StringIO()
        events = self._store.query("trace-events", {"prefix": trace_id})
        Console(file=page, width=_WIDTH, color_system=None).print(timeline_view(timeline(rows, events)))
        return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def _said(status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> Answer:
    return Answer(int(status), text.encode(), _TEXT, [*_GUARDS, *(headers or [])])
