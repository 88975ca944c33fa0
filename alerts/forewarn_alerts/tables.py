"""
What the alerts rooms keep in the state database. Times are Unix nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Engine, ForeignKey, Index, Insert, Integer, Table, Text, insert
from sqlalchemy.dialects import postgresql, sqlite

from forewarn_collector.state.engine import READ_ONLY, metadata


class IncidentState(StrEnum):
    """Where an incident is in its life; only ever forward."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    """To be sent at its due time; also while an attempt is under way, so that a crash sends it again."""
    SENT = "sent"
    FAILED = "failed"
    """The target will never take it, or it was tried for too long."""


INCIDENTS: Final = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("group_key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("opened_at_ns", BigInteger, nullable=False),
    Column("last_hit_at_ns", BigInteger, nullable=False),
    Column("hits", Integer, nullable=False),
    Index("incidents_by_group", "rule", "group_key", "opened_at_ns"),
)

HITS: Final = Table(
    "hits",
    metadata,
    Column("key", Text, primary_key=True, comment="rule, moment, environment, trace, span: which hits are one"),
    Column("incident", Text, ForeignKey("incidents.id"), nullable=False, index=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("call", Text, nullable=False, comment="the CallRecord as JSON"),
)

OUTBOX: Final = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident", Text, ForeignKey("incidents.id"), nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at_ns", BigInteger, nullable=False),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("settled_at_ns", BigInteger, nullable=False),
    Column("page", Text, nullable=False, comment="the Page as JSON"),
    Column("answer", Text, nullable=False, comment="what the target said last"),
    Index("outbox_by_due", "target", "state", "due_at_ns"),
)

JOURNAL: Final = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False, comment="an event for Topic.EVENTS; removed once the log has it"),
)

OPEN_CALLS: Final = Table(
    "open_calls",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("trace_id", Text, primary_key=True),
    Column("span_id", Text, primary_key=True),
    Column("due_at_ns", BigInteger, nullable=False, index=True),
    Column("call", Text, nullable=False, comment="the start's CallRecord as JSON"),
    Index("open_calls_by_span", "trace_id", "span_id"),
)

ENDED_CALLS: Final = Table(
    "ended_calls",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("span_id", Text, primary_key=True),
    Column("at_ns", BigInteger, nullable=False, index=True),
)


def create_tables(engine: Engine) -> None:
    metadata.create_all(engine, tables=[INCIDENTS, HITS, OUTBOX, JOURNAL, OPEN_CALLS, ENDED_CALLS])


def reading(engine: Engine) -> Connection:
    """A connection for questions: it waits for no writer."""
    return engine.connect().execution_options(**READ_ONLY)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are not there yet."""
    if rows:
        connection.execute(_insert_new(table, connection.dialect.name), [dict(row) for row in rows])


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(_insert_all(table), [dict(row) for row in rows])


# Statements are built once: between a start record and its page every one of them costs more than SQLite's own work.
@cache
def _insert_new(table: Table, dialect: str) -> Insert:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def _insert_all(table: Table) -> Insert:
    return insert(table)
