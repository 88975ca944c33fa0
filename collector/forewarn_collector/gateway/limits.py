"""
What one key may ask of the gateway, and what all may have in it at once. Refused is before waiting: a sender repeats.

Start records and bulk each have a lane: requests, bytes and readers of their own, so that no amount of bulk takes from
an alarm what it needs. Only who has shown a valid key is in a lane, so their number is the number of keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forewarn_collector.gateway.errors import OverLimit

DEFAULT_MAX_BODY: Final = 64 << 20
"""What the OTLP specification recommends."""
_KEYS_PER_LANE: Final = 2
"""One key has at most this part of a lane's bytes, so that another one's sender finds room."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken; each lane has its own."""

    body: int = DEFAULT_MAX_BODY
    """The largest body, after decompression."""
    requests_per_second: float = 2_000.0
    """Of one key; as many may come at once after a quiet second."""
    concurrent: int = 256
    """Requests of one key between their headers and their answer."""
    in_flight_bytes: int = 256 << 20
    """Of all bodies that are in the gateway at once; the lane of start records has half as many besides."""
    body_s: float = 30.0
    """How long a body may take to arrive. An OpenTelemetry exporter gives up after ten seconds."""


class Limit(StrEnum):
    """Which limit a request met."""

    RATE = "rate"
    CONCURRENT = "concurrent"
    BYTES = "bytes"


@dataclass(slots=True)
class _Usage:
    """What one key has in one lane."""

    tokens: float
    filled_at: float
    running: int = 0
    held: int = 0


class Share:
    """What one request holds of its lane."""

    def __init__(self, lane: Lane, usage: _Usage) -> None:
        self._lane = lane
        self._usage = usage
        self._held = 0

    def hold(self, size: int) -> None:
        """Hold this many bytes instead of those before; raises `OverLimit` and holds those before."""
        self._lane.move(self._usage, size - self._held)
        self._held = size


class Lane:
    """One kind of traffic. Safe to use from many threads; nothing here waits."""

    def __init__(self, limits: Limits, most_bytes: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._most_bytes = most_bytes
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: dict[str, _Usage] = {}
        self._held = 0

    @contextmanager
    def enter(self, key_id: str) -> Iterator[Share]:
        """Around one request; raises `OverLimit`."""
        usage = self._begun(key_id)
        share = Share(self, usage)
        try:
            yield share
        finally:
            share.hold(0)
            with self._lock:
                usage.running -= 1

    def move(self, usage: _Usage, more: int) -> None:
        """Of a share: hold more, or less where it is negative."""
        with self._lock:
            if more > 0 and (
                self._held + more > self._most_bytes or usage.held + more > self._most_bytes // _KEYS_PER_LANE
            ):
                raise _over(Limit.BYTES, "More bytes are being taken in than there is room for.")
            self._held += more
            usage.held += more

    def _begun(self, key_id: str) -> _Usage:
        rate, now = self._limits.requests_per_second, self._monotonic()
        most = max(1.0, rate)
        with self._lock:
            usage = self._keys.setdefault(key_id, _Usage(most, now))
            usage.tokens = min(most, usage.tokens + (now - usage.filled_at) * rate)
            usage.filled_at = now
            if usage.tokens < 1:
                raise _over(Limit.RATE, f"This key sends more than {rate:g} requests a second.")
            if usage.running >= self._limits.concurrent:
                raise _over(Limit.CONCURRENT, f"This key has {usage.running} requests here already.")
            usage.tokens -= 1
            usage.running += 1
        return usage


def _over(limit: Limit, text: str) -> OverLimit:
    return OverLimit(text, do="Send the same again in a moment, and more spans in one request.", limit=limit)
