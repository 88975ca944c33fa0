"""
The SQLite file behind `SqliteLog`: how it is opened, its tables and statements, and what its errors mean to a caller.

One table per topic keeps a topic's records side by side, so that reading and trimming one never walks over another.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from string import Template
from typing import Final

from forewarn_collector.log.interface import LogUnavailable
from forewarn_collector.private_file import make_private
from forewarn_collector.write_ahead import reserve

PAGE_BYTES: Final = 8192
"""Twice SQLite's default: bodies of many spans take fewer pages, and a small start record still costs only a few."""
BUSY_TIMEOUT_MS: Final = 2_000
WAL_KEPT_BYTES: Final = 32 << 20
"""What the write-ahead file keeps of its size when it starts over."""
WAL_RESERVED_BYTES: Final = 16 << 20
"""What the write-ahead file has of size from the beginning: as much as is written between two checkpoints, twice."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS positions (
    consumers TEXT NOT NULL,
    topic INTEGER NOT NULL REFERENCES topics (id),
    next INTEGER,              -- NULL: the group is known and has committed nothing
    metadata TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (consumers, topic)
) WITHOUT ROWID;
"""

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "Free disk space; appends are taken again as soon as there is some.",
    sqlite3.SQLITE_READONLY: "Make the folder and the file writable for this user.",
    sqlite3.SQLITE_PERM: "Make the folder and the file writable for this user.",
    sqlite3.SQLITE_CANTOPEN: "See that the folder exists and is writable for this user.",
    sqlite3.SQLITE_BUSY: "Another process holds the file: only one may own it. Stop that one, or wait.",
    sqlite3.SQLITE_LOCKED: "Another process holds the file: only one may own it. Stop that one, or wait.",
    sqlite3.SQLITE_IOERR: "Look at the disk (dmesg, free space); appends are tried again.",
    sqlite3.SQLITE_CORRUPT: "Move the file away and start again; `sqlite3 FILE .recover` may save its records.",
    sqlite3.SQLITE_NOTADB: "This is no SQLite file: move it away and start again.",
    sqlite3.SQLITE_CONSTRAINT: "Another process wrote to the file: only one may own it. Stop it, then restart this.",
}


def unavailable(path: Path, error: sqlite3.Error) -> LogUnavailable:
    """Say what SQLite refused, where, and what to do about it."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = _ADVICE.get(primary, "Repeat the request; if it stays, restart this process.")
    return LogUnavailable(f"The log at {path} did not take it: {error}. {advice}")


def closed(path: Path) -> LogUnavailable:
    return LogUnavailable(
        f"The log at {path} is closed: this process is stopping. Repeat the request after its restart."
    )


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The one writing connection: durable on COMMIT (WAL, synchronous=FULL), checkpoints left to `Checkpointer`."""
    make_private(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for setting in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"page_size={PAGE_BYTES}",
            "auto_vacuum=INCREMENTAL",
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",
            f"journal_size_limit={WAL_KEPT_BYTES}",
            "cache_size=-16384",
        ):
            connection.execute(f"PRAGMA {setting}")
        connection.executescript(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    reserve(path, WAL_RESERVED_BYTES)
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A consumer's own connection; it may be made in one thread and used in another."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only=1")
    return connection


def open_for_checkpoints(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; free pages are used again before the file grows."""
    pages, free = (connection.execute(f"PRAGMA {count}").fetchone()[0] for count in ("page_count", "freelist_count"))
    return int(pages - free) * PAGE_BYTES


class TopicTable:
    """The statements of one topic's table. Offsets come from an AUTOINCREMENT key, so none is ever given twice."""

    __slots__ = ("_newest", "_sequence", "expire", "id", "insert", "name", "oldest", "read")

    CREATE: Final = Template(
        "CREATE TABLE IF NOT EXISTS $table (position INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, "
        "size INTEGER NOT NULL, key BLOB NOT NULL, headers BLOB NOT NULL, value BLOB NOT NULL)"
    )

    def __init__(self, identity: int, name: str) -> None:
        self.id = identity
        self.name = name
        table = f"topic_{identity}"
        self._sequence = table
        self.insert = _filled("INSERT INTO $table VALUES (?, ?, ?, ?, ?, ?)", table)
        self.read = _filled(
            "SELECT position, at, key, headers, value FROM $table WHERE position >= ? ORDER BY position LIMIT ?", table
        )
        self._newest = _filled("SELECT at FROM $table ORDER BY position DESC LIMIT 1", table)
        self.oldest = _filled("SELECT position, at, size FROM $table ORDER BY position LIMIT ?", table)
        self.expire = _filled("DELETE FROM $table WHERE position <= ?", table)

    @classmethod
    def created(cls, connection: sqlite3.Connection, name: str) -> TopicTable:
        """The topic's table, made when it is new; within the caller's transaction."""
        connection.execute("INSERT OR IGNORE INTO topics (name) VALUES (?)", (name,))
        (identity,) = connection.execute("SELECT id FROM topics WHERE name = ?", (name,)).fetchone()
        connection.execute(_filled(cls.CREATE.template, f"topic_{identity}"))
        return cls(identity, name)

    def end(self, connection: sqlite3.Connection) -> int:
        """The next offset, also when every record has been trimmed."""
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (self._sequence,)).fetchone()
        return int(row[0]) + 1 if row else 0

    def last_at(self, connection: sqlite3.Connection) -> int:
        """The time of the newest record kept."""
        row = connection.execute(self._newest).fetchone()
        return int(row[0]) if row else 0


def tables(connection: sqlite3.Connection) -> list[TopicTable]:
    """Every topic on file."""
    return [TopicTable(*row) for row in connection.execute("SELECT id, name FROM topics ORDER BY id")]


def _filled(template: str, table: str) -> str:
    return Template(template).substitute(table=table)
