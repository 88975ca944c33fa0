"""What is done to keys goes the way of all events: written with the change, published to the log, stored."""

from __future__ import annotations

from sqlalchemy import Connection

from forewarn_alerts.journal import Event, EventKind, write_events
from forewarn_collector.gateway.key_table import KeyChange


def key_event(connection: Connection, change: KeyChange) -> None:
    """For `KeyRing`: within the transaction that makes the change true."""
    write_events(
        connection,
        [
            Event(
                id=f"key-{change.id}",
                time_unix_nano=int(change.at.timestamp() * 1_000_000) * 1_000,
                kind=EventKind(change.kind),
                trace_id="",
                span_id="",
                rule="",
                severity="",
                incident="",
                environment=change.environment,
                detail={"key": change.key_id, "user": change.by.user, "host": change.by.host, **change.detail},
            )
        ],
    )
