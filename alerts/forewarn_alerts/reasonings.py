"""
When the latest reasoning steps were written down, so that a page can say how long before the call.

Kept in memory only and bounded: a page without this is a little poorer, never wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from forewarn_alerts.record import CallRecord

_KEPT: Final = 20_000


class Reasonings:
    """Span id -> time of the reasoning steps read last."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._at_ns: dict[str, int] = {}

    def remember(self, span_id: str, at_ns: int) -> None:
        self._at_ns[span_id] = at_ns
        if len(self._at_ns) > self._kept:
            del self._at_ns[next(iter(self._at_ns))]

    def complete(self, call: CallRecord) -> CallRecord:
        at_ns = self._at_ns.get(call.reasoning_span_id, 0)
        return replace(call, reasoned_at_ns=at_ns) if at_ns else call
