"""
Calls that have started and not ended, for `missing_end` rules.

Ends are kept too, for a while: an end may be read before its start (they travel on two topics), and a start may be read
again. Either way the call is known to have ended, and nobody is woken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, select

from forewarn_alerts.record import CallRecord, Closed
from forewarn_alerts.rules.model import Rule
from forewarn_alerts.tables import ENDED_CALLS, OPEN_CALLS, insert_new

ENDS_KEPT: Final = timedelta(days=8)
"""Longer than the log keeps records by default, so that no replay finds a start whose end is forgotten."""


_ENDED: Final = select(ENDED_CALLS.c.at_ns).where(
    ENDED_CALLS.c.trace_id == bindparam("trace"), ENDED_CALLS.c.span_id == bindparam("span")
)
_CLOSE: Final = delete(OPEN_CALLS).where(
    OPEN_CALLS.c.trace_id == bindparam("trace"), OPEN_CALLS.c.span_id == bindparam("span")
)
_NEXT_DUE: Final = select(func.min(OPEN_CALLS.c.due_at_ns))


@dataclass(frozen=True, slots=True)
class Awaited:
    """A start whose end a rule waits for."""

    rule: Rule
    call: CallRecord

    @property
    def due_at_ns(self) -> int:
        return self.call.at_ns + self.rule.after // timedelta(microseconds=1) * 1000


@dataclass(frozen=True, slots=True)
class Overdue:
    """A call whose end did not come in time. The rule is named by its id: it may be gone since."""

    rule: str
    call: CallRecord
    due_at_ns: int


def close_calls(connection: Connection, ends: Sequence[Closed], *, now_ns: int) -> None:
    rows = [{"trace_id": end.trace_id, "span_id": end.span_id, "at_ns": now_ns} for end in ends]
    insert_new(connection, ENDED_CALLS, rows)
    if ends:
        connection.execute(_CLOSE, [{"trace": end.trace_id, "span": end.span_id} for end in ends])


def await_ends(connection: Connection, starts: Sequence[Awaited]) -> None:
    """Remember the starts whose end is not known yet."""
    for start in starts:
        call = start.call
        if connection.execute(_ENDED, {"trace": call.trace_id, "span": call.span_id}).first() is None:
            row = {
                "rule": start.rule.id,
                "trace_id": call.trace_id,
                "span_id": call.span_id,
                "due_at_ns": start.due_at_ns,
                "call": msgspec.json.encode(call).decode(),
            }
            insert_new(connection, OPEN_CALLS, [row])


def take_overdue(connection: Connection, *, as_of_ns: int, limit: int = 1000) -> list[Overdue]:
    """Remove and return what was due; the caller turns it into hits in the same transaction."""
    due = select(OPEN_CALLS).where(OPEN_CALLS.c.due_at_ns <= as_of_ns).order_by(OPEN_CALLS.c.due_at_ns).limit(limit)
    rows = connection.execute(due).all()
    for row in rows:
        same = (OPEN_CALLS.c.rule == row.rule, OPEN_CALLS.c.trace_id == row.trace_id)
        connection.execute(delete(OPEN_CALLS).where(*same, OPEN_CALLS.c.span_id == row.span_id))
    return [Overdue(row.rule, msgspec.json.decode(row.call, type=CallRecord), row.due_at_ns) for row in rows]


def next_due_ns(connection: Connection) -> int | None:
    due: int | None = connection.execute(_NEXT_DUE).scalar()
    return due


def forget_old_ends(connection: Connection, *, now_ns: int) -> None:
    oldest = now_ns - ENDS_KEPT // timedelta(microseconds=1) * 1000
    connection.execute(delete(ENDED_CALLS).where(ENDED_CALLS.c.at_ns < oldest))
