"""
Room in the SQLite log: what may be dropped, when, and how space comes back.

A record is dropped when it is past its age, or when the bound is reached; never while a known group has yet to read it.
Dropped pages are used again first; when many are free the file shrinks a little at a time.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forewarn_collector.log.interface import LogFull
from forewarn_collector.log.sqlite_file import PAGE_BYTES, TopicTable, used_bytes

if TYPE_CHECKING:
    from forewarn_collector.log.sqlite_writer import Writing

CHUNK_RECORDS: Final = 512
CHUNK_BYTES: Final = 8 << 20
"""The most that one step drops, so that appends get their turn in between."""
SHRINK_WHEN_FREE_BYTES: Final = 64 << 20
SHRINK_STEP_PAGES: Final = CHUNK_BYTES // PAGE_BYTES
LONGEST_CHECK_NS: Final = 60 * 1_000_000_000


class Room:
    """The bound and the age of one log's records. Used by its writer thread only."""

    def __init__(self, *, max_bytes: int, retention: timedelta) -> None:
        self.max_bytes = max_bytes
        self._retention_ns = int(retention.total_seconds() * 1e9)
        self._check_ns = min(LONGEST_CHECK_NS, self._retention_ns // 10)
        self._checked_at = 0

    def make(self, writing: Writing, needed: int) -> int:
        """Bytes that may be added, after dropping read records, oldest first, while there are fewer than needed."""
        left = self.max_bytes - used_bytes(writing.connection)
        while left < needed and self._drop_oldest_read(writing):
            left = self.max_bytes - used_bytes(writing.connection)
        return left

    def full(self, path: Path, writing: Writing) -> LogFull:
        """Who is behind, and what to do about it."""
        behind = writing.connection.execute(
            "SELECT DISTINCT consumers FROM positions JOIN topics ON topics.id = topic ORDER BY consumers"
        )
        groups = ", ".join(row[0] for row in behind) or "none"
        return LogFull(
            f"The log at {path} holds its bound of {self.max_bytes >> 20} MB and has nothing that every group has read "
            f"(groups: {groups}). See that they run and keep up, or raise the bound; then send again."
        )

    def tidy(self, writing: Writing, now_ns: int) -> bool:
        """Take one step of dropping what is past its age and of shrinking; say whether there is more to do."""
        more = False
        if now_ns - self._checked_at >= self._check_ns:
            oldest_kept = now_ns - self._retention_ns
            more = sum(self._drop(writing, table, before_ns=oldest_kept) for table in writing.tables()) > 0
            self._checked_at = self._checked_at if more else now_ns
        return self._shrink(writing) or more

    def _drop_oldest_read(self, writing: Writing) -> bool:
        oldest: list[tuple[int, TopicTable]] = []
        for table in writing.tables():
            row = writing.connection.execute(table.oldest, (1,)).fetchone()
            if row is not None and row[0] < self._read_by_all(writing, table):
                oldest.append((row[1], table))
        if not oldest:
            return False
        return self._drop(writing, min(oldest, key=lambda entry: entry[0])[1])

    def _drop(self, writing: Writing, table: TopicTable, *, before_ns: int | None = None) -> bool:
        """Drop a chunk of the oldest records that everyone has read (and that are older than `before_ns`)."""
        unread = self._read_by_all(writing, table)
        last, size = -1, 0
        for position, at, record_size in writing.connection.execute(table.oldest, (CHUNK_RECORDS,)).fetchall():
            if position >= unread or size >= CHUNK_BYTES or (before_ns is not None and at >= before_ns):
                break
            last, size = position, size + record_size
        if last >= 0:
            writing.connection.execute(table.expire, (last,))
        return last >= 0

    def _read_by_all(self, writing: Writing, table: TopicTable) -> int:
        """The first offset that some known group has yet to read; the end where no group is known."""
        (lowest,) = writing.connection.execute(
            "SELECT min(coalesce(next, 0)) FROM positions WHERE topic = ?", (table.id,)
        ).fetchone()
        return writing.ends()[table.name] if lowest is None else int(lowest)

    def _shrink(self, writing: Writing) -> bool:
        (free,) = writing.connection.execute("PRAGMA freelist_count").fetchone()
        if free * PAGE_BYTES < max(SHRINK_WHEN_FREE_BYTES, used_bytes(writing.connection) // 2):
            return False
        # It frees one page a step and yields no rows: `execute` would stop after the first page.
        writing.connection.executescript(f"PRAGMA incremental_vacuum({SHRINK_STEP_PAGES})")
        return True
