"""
The two ways to make a record durable, as the road of a call sees them.

* Exception
  + SpoolUnavailable     the record would not survive this process: say so, once, and go on
  + Unacknowledged       nobody vouches for the record: the call does not run (in production)
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from forewarn.conventions import Effect, LossReason


class FrameKind(IntEnum):
    """What a spooled record is; start records travel ahead of the others."""

    START = 1
    OTHER = 2


class SpoolUnavailable(Exception):
    """The spool cannot take the record (disk full, not writable, bound reached); the text says which."""

    def __init__(self, text: str, reason: LossReason = LossReason.SPOOL_UNAVAILABLE) -> None:
        super().__init__(text)
        self.reason = reason


class Spool(Protocol):
    """Records of calls that do not wait for anybody; used by any thread."""

    def append(self, kind: FrameKind, record: bytes, effect: Effect | None = None) -> None:
        """
        Return once the record (one OTLP Span message) would survive a `kill -9` of this process.

        `effect` is that of the call whose record it is, None for what belongs to no call. A spool that is full makes
        room by losing the oldest records of `read` calls, and of nothing else.
        """

    def close(self) -> None:
        """Let go of it; what is in it stays for the next process. Appending afterwards raises SpoolUnavailable."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The record is durable elsewhere, and this is what was decided about its call."""

    decision: str
    rule: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unacknowledged(Exception):
    """The record is not known to be durable. `reason`: what happened; `remedy`: what a person should do."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return self.reason


class Acknowledger(Protocol):
    """The round trip that must come back before a call may run; used by any thread."""

    @property
    def patience_s(self) -> float:
        """How long a caller waits in all, whatever the other side does."""
        ...

    def submit(self, request: bytes) -> Future[Acknowledgement]:
        """Send one ExportTraceServiceRequest; the future fails with Unacknowledged; anything else means that, too."""
        ...

    def close(self) -> None:
        """Give up what is under way."""


Attributes = Mapping[str, str | int]
"""What records and spans carry beside their own fields."""
