"""
The embedded log: one SQLite file, durable on COMMIT, one writer thread, as many readers as there are consumers.

Every topic has one partition (0). One process owns the file. Beside the records the file holds each group's position.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from forewarn_collector.log.ends import Ends
from forewarn_collector.log.interface import Appended, Committed, Consumer, TopicPartition
from forewarn_collector.log.sqlite_consumer import SqliteConsumer
from forewarn_collector.log.sqlite_file import TopicTable, closed, unavailable
from forewarn_collector.log.sqlite_room import Room
from forewarn_collector.log.sqlite_writer import Append, GroupCommit, Writing

DEFAULT_MAX_BYTES: Final = 4 << 30
DEFAULT_RETENTION: Final = timedelta(days=7)


class SqliteLog:
    """
    `Log` on one file.

    `max_bytes` bounds the pages that hold something; the write-ahead file beside it comes on top. `retention` is the
    age after which a record that every known group has read is dropped.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        retention: timedelta = DEFAULT_RETENTION,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._ends = Ends()
        self._encode = msgspec.msgpack.encode
        try:
            self._writer = GroupCommit(
                path, self._ends, Room(max_bytes=max_bytes, retention=retention), clock_ns=clock_ns
            )
        except sqlite3.Error as error:
            raise unavailable(path, error) from error

    def append(
        self, topic: str, value: bytes, *, key: bytes = b"", headers: Mapping[str, bytes] | None = None
    ) -> Future[Appended]:
        return self._writer.append(Append(topic, value, key, self._encode(headers or {}), Future()))

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Also makes the group known: from now on nothing it has yet to read is dropped."""
        tables: list[TopicTable] = self._writer.change(lambda writing: _know(writing, group, topics)).result()
        return SqliteConsumer(self._path, group, tables, ends=self._ends, commit=self._commit)

    def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        if self._ends.closed:
            raise closed(self._path)
        return {TopicPartition(topic, 0): self._ends.of(topic) for topic in topics}

    def close(self) -> None:
        """Write what waits, answer everyone, stop the thread; consumers that wait get nothing."""
        self._writer.close()

    def _commit(self, group: str, positions: Mapping[str, Committed]) -> Future[Any]:
        return self._writer.change(lambda writing: _store(writing, group, positions))


def _know(writing: Writing, group: str, topics: Sequence[str]) -> list[TopicTable]:
    tables = [writing.table(topic) for topic in topics]
    writing.connection.executemany(
        "INSERT OR IGNORE INTO positions (consumers, topic) VALUES (?, ?)", [(group, table.id) for table in tables]
    )
    return tables


def _store(writing: Writing, group: str, positions: Mapping[str, Committed]) -> None:
    writing.connection.executemany(
        "INSERT OR REPLACE INTO positions (consumers, topic, next, metadata) VALUES (?, ?, ?, ?)",
        [(group, writing.table(topic).id, position.offset, position.metadata) for topic, position in positions.items()],
    )
