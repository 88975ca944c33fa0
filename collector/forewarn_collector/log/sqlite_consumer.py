"""One reader of the SQLite log: its own connection, its own place, and a bell instead of polling the disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import msgspec

from forewarn_collector.log.batch import Batch
from forewarn_collector.log.ends import Ends
from forewarn_collector.log.interface import Committed, Record, TopicPartition
from forewarn_collector.log.sqlite_file import TopicTable, closed, open_for_reading, unavailable

_HEADERS: Final = msgspec.msgpack.Decoder(dict[str, bytes])

_POSITION: Final = """
SELECT next, metadata FROM positions JOIN topics ON topics.id = topic WHERE consumers = ? AND name = ?
"""

CommitPositions = Callable[[str, Mapping[str, Committed]], Future[Any]]


class SqliteConsumer:
    """A member of a group. The file has one partition a topic, so a second member of a group reads all of it too."""

    def __init__(
        self, path: Path, group: str, tables: list[TopicTable], *, ends: Ends, commit: CommitPositions
    ) -> None:
        self._path = path
        self._group = group
        self._tables = tables
        self._ends = ends
        self._commit = commit
        try:
            self._connection = open_for_reading(path)
            self._next = {table.name: self._start(table) for table in tables}
        except sqlite3.Error as error:
            raise unavailable(path, error) from error

    def poll(self, *, max_records: int = 500, max_bytes: int = 16 << 20, timeout_s: float = 0.0) -> list[Record]:
        if self._ends.closed:
            raise closed(self._path)
        deadline = time.monotonic() + timeout_s
        while self._ends.wait_beyond(self._next, max(0.0, deadline - time.monotonic())):
            # Nothing is found where what was there has been dropped: then the wait goes on, from the end.
            if records := self._read(Batch(max_records=max_records, max_bytes=max_bytes)):
                return records
        return []

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        self._commit(self._group, {at.topic: committed for at, committed in positions.items()}).result()

    def committed(self, at: TopicPartition) -> Committed | None:
        row = self._position(at.topic)
        return Committed(row[0], row[1]) if row is not None and row[0] is not None else None

    def close(self) -> None:
        self._connection.close()

    def _read(self, batch: Batch) -> list[Record]:
        try:
            for table in self._tables:
                if batch.records_left > 0 and self._ends.of(table.name) > self._next[table.name]:
                    self._fill(batch, table)
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        return batch.records

    def _fill(self, batch: Batch, table: TopicTable) -> None:
        """Read one topic on; where the oldest records are gone, go on after them."""
        end = self._ends.of(table.name)
        rows = self._connection.execute(table.read, (self._next[table.name], batch.records_left))
        for offset, at, key, headers, value in rows:
            record = Record(table.name, 0, offset, value, key, _HEADERS.decode(headers), at)
            if not batch.offer(record):
                rows.close()
                return
            self._next[table.name] = offset + 1
        if batch.records_left > 0:
            self._next[table.name] = max(self._next[table.name], end)

    def _start(self, table: TopicTable) -> int:
        row = self._position(table.name)
        return int(row[0]) if row is not None and row[0] is not None else 0

    def _position(self, topic: str) -> Any:
        try:
            return self._connection.execute(_POSITION, (self._group, topic)).fetchone()
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
