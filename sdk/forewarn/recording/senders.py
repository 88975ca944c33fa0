"""
Senders: what this sender says of itself, so that its silence has edges: that it starts, lives, stops, and lost records.

These records are spans without duration in one trace of the sender's own. They take numbers and the spool's road like
all others, so that what they say arrives exactly when everything before them has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from forewarn.conventions import (
    OPERATION_LOSS,
    OPERATION_NAME,
    OPERATION_SENDER,
    SENDER_EVENT,
    SENDER_HEARTBEAT,
    SENDER_ISSUED,
    SENDER_WAITING_BYTES,
    SenderEvent,
)
from forewarn.recording.interface import Attributes, FrameKind
from forewarn.recording.losses import Loss
from forewarn.recording.records import Opening, template
from forewarn.recording.segments import SegmentReader
from forewarn.recording.spool import SegmentSpool
from forewarn.recording.wire import status_error

RandomBytes = Callable[[int], bytes]
"""n -> n random bytes; not all zero."""


class SelfPortrait:
    """Builds a sender's records about itself."""

    def __init__(self, clock_ns: Callable[[], int], random_bytes: RandomBytes) -> None:
        self._clock_ns = clock_ns
        self._random_bytes = random_bytes
        self._trace = b""

    def event(self, sequence: int, event: SenderEvent, *, waiting_bytes: int, heartbeat_s: int) -> bytes:
        """What happened to the sender; `sequence` is the highest number given out so far."""
        attributes: Attributes = {
            OPERATION_NAME: OPERATION_SENDER,
            SENDER_EVENT: event.value,
            SENDER_ISSUED: sequence,
            SENDER_WAITING_BYTES: waiting_bytes,
            SENDER_HEARTBEAT: heartbeat_s,
        }
        return self._moment(sequence, f"{OPERATION_SENDER} {event}", attributes)

    def loss(self, sequence: int, loss: Loss) -> bytes:
        """Which records will never come."""
        return self._moment(sequence, OPERATION_LOSS, loss.attributes, status_error(loss.message))

    def _moment(self, sequence: int, name: str, attributes: Attributes, *closing: bytes) -> bytes:
        self._trace = self._trace or self._random_bytes(16)
        at_ns = self._clock_ns()
        span = Opening((self._trace, self._random_bytes(8), b""), template(name, attributes), at_ns)
        return span.end_record(sequence, at_ns, *closing)


class Keeper(Protocol):
    """What a lifecycle needs of the runtime."""

    portrait: SelfPortrait

    def keep_built(self, kind: FrameKind, build: Callable[[int], bytes]) -> None: ...


class Lifecycle:
    """Start, heartbeat and stop of one sender, each at its time: one start, one stop, no heartbeat after it."""

    def __init__(
        self,
        runtime: Keeper,
        *,
        heartbeat_s: int,
        waiting_bytes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`heartbeat_s`: 0 if nobody calls `beat`."""
        self._runtime = runtime
        self._heartbeat_s = heartbeat_s
        self._waiting_bytes = waiting_bytes
        self._clock = clock
        self._beat_at = math.inf
        self._has_begun = False
        self._has_ended = False

    def begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._beat_at = self._clock() + self._heartbeat_s if self._heartbeat_s else math.inf
            self._tell(SenderEvent.START)

    def beat(self) -> float:
        """Say that the sender lives, if it is time to; how long until it is time again."""
        now = self._clock()
        if now >= self._beat_at:
            self._beat_at = now + self._heartbeat_s
            self._tell(SenderEvent.HEARTBEAT)
        return self._beat_at - now

    def end(self) -> None:
        if self._has_begun and not self._has_ended:
            self._has_ended = True
            self._beat_at = math.inf
            self._tell(SenderEvent.STOP)

    def _tell(self, event: SenderEvent) -> None:
        runtime = self._runtime

        def build(sequence: int) -> bytes:
            waiting = self._waiting_bytes()
            return runtime.portrait.event(sequence, event, waiting_bytes=waiting, heartbeat_s=self._heartbeat_s)

        runtime.keep_built(FrameKind.OTHER, build)


def waiting_bytes(spool: SegmentSpool) -> int:
    """What of this sender is spooled and not known to have arrived."""
    waiting = 0
    for segment in spool.written():
        try:
            reader = SegmentReader.open(segment.path)
        except OSError:
            # It has arrived whole meanwhile.
            continue
        if reader is not None:
            waiting += max(segment.size - reader.acknowledged, 0)
            reader.close()
    return waiting
