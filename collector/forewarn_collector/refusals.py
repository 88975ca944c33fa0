"""
What becomes of records that the store refuses: what can be understood of them, and when to doubt the store instead.

* SinkError
  + TooManyRejected     more is refused than broken senders explain: nothing was buried, the next step tries again
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from forewarn_collector.log.interface import Record
from forewarn_collector.store.decoding import request_fault
from forewarn_collector.wire import Understood, wrong_field


class SinkError(Exception):
    """Base of what the sink raises by itself."""


class TooManyRejected(SinkError):
    """Much that reads well is refused: it may be the store that is wrong, so the batch waits a few times."""


@dataclass(frozen=True, slots=True)
class BadShare:
    """
    When to doubt the store: of the latest `window` records more than `least`, and more than `share`, read well and are
    refused all the same. `tries`: how often such a batch is held back before it is buried after all.
    """

    share: float = 0.1
    least: int = 20
    window: int = 1000
    tries: int = 5


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record as it came that cannot be stored, or not all of it, and why."""

    record: Record
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A refused record as it can be tried again, if at all, and what is wrong with how it came."""

    record: Record | None
    rejected: Rejected | None


def read_again(record: Record) -> Reading:
    """A request written anew by protobuf: what the gateway lets in today, made of what it let in before."""
    if fault := request_fault(record.value):
        return Reading(None, Rejected(record, fault))
    found = Understood.of(record.value)
    anew = replace(record, value=found.value) if found.value else None
    if not found.unread:
        return Reading(anew, None)
    fault = wrong_field(record.value, found.unread) or f"{found.unread} bytes of it are no OTLP"
    return Reading(anew, Rejected(record, f"stored as far as it was understood: {fault}"))


class Doubt:
    """Weighs what is refused although it reads well. In memory: after a restart a batch is held back once more."""

    def __init__(self, limit: BadShare) -> None:
        self._limit = limit
        self._latest: deque[bool] = deque(maxlen=limit.window)
        self._tries = 0

    def weigh(self, refused: Sequence[Rejected], *, of: int) -> None:
        """Raises `TooManyRejected` while it is better to wait than to bury these."""
        limit = self._limit
        bad, seen = sum(self._latest) + len(refused), min(limit.window, len(self._latest) + of)
        if self._tries < limit.tries and bad > max(limit.least, limit.share * seen):
            self._tries += 1
            msg = (
                f"{bad} of the latest {seen} records read well and are refused by the store, the last because: "
                f"{refused[-1].reason}. They are held back, {self._tries} of {limit.tries} times, then buried"
            )
            raise TooManyRejected(msg)

    def settled(self, refused: Sequence[Rejected], *, of: int) -> None:
        """The batch is stored or buried."""
        self._latest.extend([True] * len(refused) + [False] * (of - len(refused)))
        self._tries = 0
