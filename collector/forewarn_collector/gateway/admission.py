"""
The road of a request, the same over HTTP and gRPC, for spans and for intents: who sends, is there room for it, the
whole body, can it be read, is it durable.

Nothing here answers; it returns what was stored, or raises what to answer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from forewarn.conventions import Stamp, Topic
from forewarn_collector.gateway.compression import Coding
from forewarn_collector.gateway.draining import Draining
from forewarn_collector.gateway.errors import ComeBackLater, NotAllowed, NotNow, OverLimit
from forewarn_collector.gateway.health import Appends
from forewarn_collector.gateway.incoming import Incoming, Sent, in_time
from forewarn_collector.gateway.keys import KeyFault, KeyInfo, KeyRing, KeysUnavailable
from forewarn_collector.gateway.limits import Lane, Limits
from forewarn_collector.gateway.metrics import GatewayMetrics
from forewarn_collector.gateway.payload import Payload, read_payload
from forewarn_collector.gateway.redaction import Redactor
from forewarn_collector.log.interface import Appended, Log, LogFull, LogUnavailable

READ_INLINE_BYTES: Final = 32 << 10
"""A larger body is read in a thread, so that start records behind it are not held up."""
APPEND_TIMEOUT_S: Final = 8.0
"""Below the ten seconds after which an OpenTelemetry exporter gives up, so that it still hears why."""

TELL_EVERY_S: Final = 10.0
NO_ANSWER: Final = "the log did not answer in time"
_READERS: Final = {Topic.SPANS: 2, Topic.STARTS: 1}
"""Threads by lane: so many large bodies are unpacked and looked through at once, and no more."""
_STARTS_PART: Final = 2

_log = logging.getLogger(__name__)

Check = Callable[[Payload], None]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is durable: what was stored, for whom, and where."""

    key: KeyInfo
    payload: Payload
    appended: Appended
    """Where the last of it is."""


class Admission:
    """Takes requests into a log. One for all the doors of a process; each door may have an event loop of its own."""

    def __init__(
        self,
        log: Log,
        keys: KeyRing,
        *,
        limits: Limits | None = None,
        redactor: Redactor | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._log = log
        self._keys = keys
        self._redactor = redactor or Redactor(secrets.token_bytes(32))
        self._clock_ns = clock_ns
        self.metrics = metrics or GatewayMetrics()
        self.appends = Appends()
        self.draining = Draining()
        self._lanes = {
            Topic.SPANS: Lane(self.limits, self.limits.in_flight_bytes),
            Topic.STARTS: Lane(self.limits, self.limits.in_flight_bytes // _STARTS_PART),
        }
        self._readers = {topic: ThreadPoolExecutor(threads, f"read-{topic}") for topic, threads in _READERS.items()}
        self._told_at = -TELL_EVERY_S

    def close(self) -> None:
        """End the readers; call it when no request is in hand any more."""
        for readers in self._readers.values():
            readers.shutdown()

    async def admit(self, incoming: Incoming, topic: Topic, *, check: Check | None = None) -> Admitted:
        """THE road; returns only once the log holds the request. `check` may raise `BadPayload`."""
        with self.draining.request():
            key = await self._authenticated(incoming.authorization)
            try:
                with self._lanes[topic].enter(key.id) as share:
                    within = self.limits.body_s
                    sent = await in_time(incoming, limit=self.limits.body, hold=share.hold, within_s=within)
                    payload = await self._read(sent, topic)
                    del sent
                    if check is not None:
                        check(payload)
                    share.hold(payload.size)
                    appended = await self._append(topic, payload, key)
            except OverLimit as refusal:
                self.metrics.limited.labels(key.id, refusal.limit).inc()
                raise
            if payload.redacted:
                self.metrics.redacted.labels(key.id).inc(payload.redacted)
            if payload.rejected:
                self.metrics.rejected_spans.labels(key.id).inc(payload.rejected.spans)
            return Admitted(key, payload, appended)

    async def _authenticated(self, authorization: str) -> KeyInfo:
        scheme, _, text = authorization.partition(" ")
        text = text.strip() if scheme.lower() == "bearer" else ""
        try:
            if self._keys.must_read(text):
                found = await asyncio.to_thread(self._keys.check, text)
            else:
                found = self._keys.check(text)
        except KeysUnavailable as error:
            self._tell(error)
            raise NotNow("The ingest keys cannot be read now.", do="Send the same again.") from error
        if isinstance(found, KeyFault):
            self.metrics.keys_refused.labels(found).inc()
            raise NotAllowed(
                "The ingest key is wrong, expired or revoked." if text else "The request carries no ingest key.",
                do="Send `Authorization: Bearer <key>`; `forewarn keys create` makes one.",
            )
        return found

    async def _read(self, sent: Sent, topic: Topic) -> Payload:
        reading = partial(read_payload, sent.raw, sent.form, self._redactor, limit=self.limits.body)
        if len(sent.raw) <= READ_INLINE_BYTES and sent.form.coding is Coding.IDENTITY:
            return reading()
        return await asyncio.get_running_loop().run_in_executor(self._readers[topic], reading)

    async def _append(self, topic: str, payload: Payload, key: KeyInfo) -> Appended:
        began = time.perf_counter()
        stamps: dict[str, bytes] = {
            Stamp.ENVIRONMENT: key.environment.encode(),
            Stamp.KEY_ID: key.id.encode(),
            Stamp.RECEIVED_AT: str(self._clock_ns()).encode(),
        }
        # All at once: the log takes start records in between. Of a part that fails the sender repeats the whole.
        pending = [self._log.append(topic, value, key=payload.key, headers=stamps) for value in payload.values]
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                appended = [await asyncio.wrap_future(each) for each in pending][-1]
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
        self.metrics.body_bytes.labels(topic).inc(payload.size)
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
