"""
What came back over HTTP, and what each status means: delivered, come back later, or never.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from forewarn_alerts.notify.interface import Answer, Delivered, Rejected, Retry

LONGEST_RETRY_AFTER_S: Final = 3600.0
_COME_BACK: Final = frozenset({408, 425, 429})
"""Client errors that pass: timed out, too early, too many."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, as much of the body as matters, and when to come back."""

    status: int
    text: str
    retry_after_s: float | None


def unless_delivered(reply: Reply) -> Retry | Rejected:
    """What a status other than the target's yes means: 4xx will not get better by itself, everything else may."""
    said = f"answered {reply.status}: {reply.text[:300]}".rstrip(": ")
    if 400 <= reply.status < 500 and reply.status not in _COME_BACK:
        return Rejected(said)
    return Retry(said, reply.retry_after_s)


def by_status(reply: Reply | Retry, *, delivered: Callable[[Reply], Delivered | None]) -> Answer:
    if isinstance(reply, Retry):
        return reply
    return delivered(reply) or unless_delivered(reply)


def retry_after_s(header: str | None, now: float) -> float | None:
    """`Retry-After` as seconds: a number or a date (RFC 9110 10.2.3); nonsense counts as absent."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S) if seconds == seconds else None  # noqa: PLR0124 -- NaN
