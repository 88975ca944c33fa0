"""
The road of a request, the same for spans and for intents: who sends, the whole body, can it be read, is it durable.

Nothing here answers; it returns what was stored, or raises what to answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import Stamp
from forewarn_collector.gateway.asgi import Receive, Scope, header, read_body
from forewarn_collector.gateway.errors import ComeBackLater, NotAllowed, NotNow
from forewarn_collector.gateway.health import Appends
from forewarn_collector.gateway.keys import KeyInfo, KeyRing, KeysUnavailable
from forewarn_collector.gateway.metrics import GatewayMetrics
from forewarn_collector.gateway.payload import Form, Payload, read_payload
from forewarn_collector.log.interface import Appended, Log, LogFull, LogUnavailable

DEFAULT_MAX_BODY: Final = 64 << 20
"""What the OTLP specification recommends."""
READ_INLINE_BYTES: Final = 32 << 10
"""A larger body is read in a thread, so that start records behind it are not held up."""
APPEND_TIMEOUT_S: Final = 8.0
"""Below the ten seconds after which an OpenTelemetry exporter gives up, so that it still hears why."""

TELL_EVERY_S: Final = 10.0
NO_ANSWER: Final = "the log did not answer in time"

_log = logging.getLogger(__name__)

Check = Callable[[ExportTraceServiceRequest], None]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is durable: what was stored, for whom, and where."""

    key: KeyInfo
    payload: Payload
    appended: Appended


class Admission:
    """Takes requests into a log. One for all the paths of a process."""

    def __init__(
        self,
        log: Log,
        keys: KeyRing,
        *,
        max_body: int = DEFAULT_MAX_BODY,
        clock_ns: Callable[[], int] = time.time_ns,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self._log = log
        self._keys = keys
        self._max_body = max_body
        self._clock_ns = clock_ns
        self.metrics = metrics or GatewayMetrics()
        self.appends = Appends()
        self._told_at = -TELL_EVERY_S

    async def admit(self, scope: Scope, receive: Receive, topic: str, *, check: Check | None = None) -> Admitted:
        """THE road; returns only once the log holds the request. `check` may raise `BadPayload`."""
        key = await self._authenticated(scope)
        form = Form.of(scope)
        raw = await read_body(scope, receive, limit=self._max_body)
        payload = await self._read(raw, form)
        if check is not None:
            check(payload.request)
        return Admitted(key, payload, await self._append(topic, payload, key))

    async def _authenticated(self, scope: Scope) -> KeyInfo:
        scheme, _, text = header(scope, b"authorization").partition(" ")
        text = text.strip() if scheme.lower() == "bearer" else ""
        try:
            if self._keys.must_read(text):
                key = await asyncio.to_thread(self._keys.verify, text)
            else:
                key = self._keys.verify(text)
        except KeysUnavailable as error:
            self._tell(error)
            raise NotNow("The ingest keys cannot be read now.", do="Send the same again.") from error
        if key is None:
            raise NotAllowed(
                "The ingest key is missing, wrong or revoked." if text else "The request carries no ingest key.",
                do="Send `Authorization: Bearer <key>`; `forewarn keys create` makes one.",
            )
        return key

    async def _read(self, raw: bytes, form: Form) -> Payload:
        if len(raw) <= READ_INLINE_BYTES and not form.gzipped:
            return read_payload(raw, form, limit=self._max_body)
        return await asyncio.to_thread(read_payload, raw, form, limit=self._max_body)

    async def _append(self, topic: str, payload: Payload, key: KeyInfo) -> Appended:
        began = time.perf_counter()
        stamps: dict[str, bytes] = {
            Stamp.ENVIRONMENT: key.environment.encode(),
            Stamp.KEY_ID: key.id.encode(),
            Stamp.RECEIVED_AT: str(self._clock_ns()).encode(),
        }
        pending = self._log.append(topic, payload.value, key=payload.key, headers=stamps)
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):  # unlike `wait_for`, it costs no task of its own
                appended = await asyncio.wrap_future(pending)
        except LogFull as error:
            self._append_failed(error)
            raise ComeBackLater(
                "The log is full until its consumers have caught up.", do="Send the same again."
            ) from error
        except (LogUnavailable, TimeoutError) as error:
            self._append_failed(error)
            raise NotNow("The request is not known to be durable.", do="Send the same again.") from error
        self.appends.succeeded()
        self.metrics.append_seconds.labels(topic).observe(time.perf_counter() - began)
        self.metrics.body_bytes.labels(topic).inc(len(payload.value))
        return appended

    def _append_failed(self, trouble: Exception) -> None:
        self.appends.failed(str(trouble) or NO_ANSWER)
        self._tell(trouble)

    def _tell(self, trouble: Exception) -> None:
        """Tell our own log what the sender need not know, but not once for each of a thousand requests."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            _log.warning("Requests are being refused for now: %s", str(trouble) or NO_ANSWER)
