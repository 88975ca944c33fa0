"""
Events on their way to the log: written in the transaction that makes them true, published after it, at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, bindparam, delete, select

from forewarn.conventions import Topic
from forewarn_alerts.tables import JOURNAL, insert_new, reading
from forewarn_collector.log.interface import Log

_OLDEST: Final = select(JOURNAL).order_by(JOURNAL.c.seq).limit(bindparam("limit"))
_FORGET: Final = delete(JOURNAL).where(JOURNAL.c.seq == bindparam("published"))


class EventKind(StrEnum):
    """What an event of these rooms says."""

    INCIDENT_OPENED = "incident.opened"
    INCIDENT_HIT = "incident.hit"
    DELIVERY_SENT = "delivery.sent"
    DELIVERY_FAILED = "delivery.failed"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history of a call. `id` is the same however often it is published."""

    id: str
    time_unix_nano: int
    kind: EventKind
    trace_id: str
    span_id: str
    rule: str
    severity: str
    incident: str
    target: str = ""
    target_type: str = ""
    environment: str = ""
    service: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def write_events(connection: Connection, events: Sequence[Event]) -> None:
    insert_new(connection, JOURNAL, [{"id": event.id, "body": msgspec.json.encode(event).decode()} for event in events])


class Journal:
    """The events that the log does not hold yet."""

    def __init__(self, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log

    def publish(self, *, limit: int = 500) -> int:
        """Append the oldest events to the log, then forget them. A crash in between publishes them again."""
        with reading(self._engine) as connection:
            rows = connection.execute(_OLDEST, {"limit": limit}).all()
        if not rows:
            return 0
        appends = [self._log.append(Topic.EVENTS, row.body.encode(), key=_key(row.body)) for row in rows]
        for append in appends:
            append.result()
        with self._engine.begin() as connection:
            connection.execute(_FORGET, [{"published": row.seq} for row in rows])
        return len(rows)


def _key(body: str) -> bytes:
    """The trace, so that the events of one call keep their order."""
    return bytes.fromhex(str(msgspec.json.decode(body)["trace_id"]))
