"""
ClickHouse's HTTP interface over the embedded store, for readers: curl, clickhouse-connect, Grafana, our own commands.

A bare ASGI application. It asks for a user and a password, runs each statement that `statements` admits on a read-
only connection of its own (`sessions`), off the event loop, and answers as the server would, errors included. Answers
are held in memory, no larger than the limits allow.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from chdb import ChdbError

from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.http_answer import (
    AUTHENTICATION_FAILED,
    NOT_IMPLEMENTED,
    QUERY_TOO_LARGE,
    READONLY,
    REQUIRED_PASSWORD,
    TOO_MANY_QUERIES,
    UNKNOWN_FORMAT,
    Answer,
    content_type,
    engine_error,
    refusal,
)
from forewarn_collector.store.http_query import HttpQuery, SettingRefused
from forewarn_collector.store.sessions import Limits, Session
from forewarn_collector.store.statements import Refused, admit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_OK: Final = Answer(b"Ok.\n", headers={"Content-Type": "text/html; charset=UTF-8"})
_MAX_BODY: Final = 1 << 20


class Facade:
    """`concurrent`: queries that run at once; as many as `waiting` more are let in, further ones are turned away."""

    def __init__(
        self,
        store: EmbeddedStore,
        *,
        user: str,
        password: str,
        limits: Limits | None = None,
        concurrent: int = 4,
        waiting: int = 60,
    ) -> None:
        self._store = store
        self._user = user.encode()
        self._password = password.encode()
        self._limits = limits or Limits()
        self._threads = ThreadPoolExecutor(concurrent, thread_name_prefix="forewarn-facade")
        self._room = concurrent + waiting
        self._inside = 0
        (self._version, self._timezone, formats), *_ = store.query(
            "SELECT version(), timezone(), (SELECT groupArray(name) FROM system.formats WHERE is_output)"
        ).rows
        self._formats = {name.lower(): name for name in formats}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _send(send, await self._answer(scope, receive), bodiless=scope["method"] == "HEAD")

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["path"] in ("/ping", "/replicas_status"):
            return _OK
        if scope["path"] not in ("", "/"):
            return Answer(f"There is no handle {scope['path']}\n".encode(), 404)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return Answer(b"Use GET or POST\n", 405, {"Allow": "GET, HEAD, POST"})
        body = await _body(receive)
        if body is None:
            return refusal(QUERY_TOO_LARGE, "Max query size exceeded", version=self._version, status=413)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = HttpQuery.parse(scope["query_string"], headers, body)
        if not query.text.strip():
            return _OK
        return self._turned_away(query, headers) or await self._run(query)

    def _turned_away(self, query: HttpQuery, headers: dict[str, str]) -> Answer | None:
        if not query.user and not query.password:
            message = "Authentication is required: send a user and a password"
            return refusal(REQUIRED_PASSWORD, message, version=self._version)
        known = hmac.compare_digest(query.user.encode(), self._user)
        if not hmac.compare_digest(query.password.encode(), self._password) or not known:
            message = f"{query.user}: Authentication failed: password is incorrect, or there is no user with such name"
            return refusal(AUTHENTICATION_FAILED, message, version=self._version)
        if query.compressed or headers.get("content-type", "").startswith("multipart/"):
            message = "Compressed blocks and multipart bodies are not understood here; send plain text"
            return refusal(NOT_IMPLEMENTED, message, version=self._version)
        if self._inside >= self._room:
            return refusal(TOO_MANY_QUERIES, "Too many simultaneous queries", version=self._version)
        return None

    async def _run(self, query: HttpQuery) -> Answer:
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, query)
        finally:
            self._inside -= 1

    def _ask(self, query: HttpQuery) -> Answer:
        try:
            settings = query.settings(self._limits)
            with self._store.session(self._limits, settings=settings, database=query.database) as session:
                return self._ask_in(session, query)
        except SettingRefused as fault:
            return refusal(READONLY, f"Cannot modify '{fault}' setting in readonly mode", version=self._version)
        except Refused as fault:
            message = f"{query.user}: Cannot execute query in readonly mode: {fault}"
            return refusal(READONLY, message, version=self._version)
        except (ChdbError, RuntimeError) as fault:
            return engine_error(str(fault), version=self._version)

    def _ask_in(self, session: Session, query: HttpQuery) -> Answer:
        statement = admit(query.text, session.value_of)
        asked = statement.output_format or query.default_format or "TabSeparated"
        output_format = self._formats.get(asked.lower())
        if output_format is None:
            return refusal(UNKNOWN_FORMAT, f"Unknown format {asked}", version=self._version)
        result = session.query(statement.text, output_format, query.parameters)
        headers = {
            "Content-Type": content_type(output_format),
            "X-ClickHouse-Format": output_format,
            "X-ClickHouse-Query-Id": query.query_id or str(uuid.uuid4()),
            "X-ClickHouse-Server-Display-Name": "forewarn",
            "X-ClickHouse-Summary": json.dumps(result.summary),
            "X-ClickHouse-Timezone": self._timezone,
        }
        return Answer(result.body, headers=headers)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than any query."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > _MAX_BODY:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, answer: Answer, *, bodiless: bool) -> None:
    headers = answer.headers | {"Content-Length": str(len(answer.body))}
    raw = [(name.lower().encode("latin-1"), _clean(value).encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})


def _clean(value: str) -> str:
    """A header's value: the client's own words (its query id) may be in it."""
    return "".join(char for char in value if char.isprintable() and char.isascii())


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
