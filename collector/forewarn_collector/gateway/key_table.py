"""
Where keys and the history of keys are kept. A state of an earlier version gets the column it lacks when it is opened.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Row, String, Table, Text, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from forewarn_collector.state import READ_ONLY, metadata

KEYS: Final = Table(
    "ingest_keys",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("environment", String(64), nullable=False),
    Column("name", String, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_unix_us", BigInteger, nullable=False),
    Column("revoked_unix_us", BigInteger),
    Column("expires_unix_us", BigInteger),
)

CHANGES: Final = Table(
    "ingest_key_changes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at_unix_us", BigInteger, nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("key_id", String(128), nullable=False),
    Column("environment", String(64), nullable=False),
    Column("by_user", String, nullable=False),
    Column("by_host", String, nullable=False),
    Column("detail", Text, nullable=False, comment="JSON"),
)


class KeysUnavailable(Exception):
    """The keys cannot be read or written now: nothing is known about any key; try again."""


class ChangeKind(StrEnum):
    """What was done to a key."""

    CREATED = "key.created"
    ROTATED = "key.rotated"
    """It has a successor, and ends when the overlap is over."""
    REVOKED = "key.revoked"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, as the operating system knows them: no variable that anybody may set."""

    user: str
    host: str

    @classmethod
    def here(cls) -> Actor:
        """Whoever runs this process."""
        return cls(_user(), socket.gethostname())


def _user() -> str:
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, users may have no name
        return f"uid {os.getuid()}"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One line of the history of keys; it never holds a secret."""

    id: str
    at: datetime
    kind: ChangeKind
    key_id: str
    environment: str
    by: Actor
    detail: Mapping[str, str] = field(default_factory=dict)


OnRecord = Callable[[Connection, KeyChange], None]
"""Called within the transaction that makes the change true."""


def open_tables(engine: Engine) -> None:
    """Make what is missing."""
    with reported():
        metadata.create_all(engine, tables=[KEYS, CHANGES])
        if _has_expiry(engine):
            return
        with engine.begin() as connection:
            if not _has_expiry(connection):  # another process may have been first; SQLite's writers take turns
                connection.execute(text("ALTER TABLE ingest_keys ADD COLUMN expires_unix_us BIGINT"))


def _has_expiry(bind: Engine | Connection) -> bool:
    return any(column["name"] == "expires_unix_us" for column in inspect(bind).get_columns(KEYS.name))


def write_change(connection: Connection, change: KeyChange) -> None:
    connection.execute(
        insert(CHANGES).values(
            id=change.id,
            at_unix_us=unix_us(change.at),
            kind=change.kind,
            key_id=change.key_id,
            environment=change.environment,
            by_user=change.by.user,
            by_host=change.by.host,
            detail=msgspec.json.encode(change.detail).decode(),
        )
    )


def read_changes(engine: Engine) -> list[KeyChange]:
    """The whole history, oldest first."""
    query = select(CHANGES).order_by(CHANGES.c.at_unix_us, CHANGES.c.id)
    with reported(), engine.connect().execution_options(**READ_ONLY) as connection:
        return [_change(row) for row in connection.execute(query)]


def _change(row: Row[Any]) -> KeyChange:
    return KeyChange(
        row.id,
        time_of(row.at_unix_us),
        ChangeKind(row.kind),
        row.key_id,
        row.environment,
        Actor(row.by_user, row.by_host),
        msgspec.json.decode(row.detail, type=dict[str, str]),
    )


@contextmanager
def reported() -> Iterator[None]:
    """Turn the database's errors into ours."""
    try:
        yield
    except SQLAlchemyError as error:
        raise KeysUnavailable(f"The ingest keys cannot be read or written: {error}") from error


def unix_us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def time_of(unix_us: int) -> datetime:
    return datetime.fromtimestamp(unix_us / 1_000_000, UTC)


def time_or_none(unix_us: int | None) -> datetime | None:
    return None if unix_us is None else time_of(unix_us)
