"""
The one thread that writes the SQLite log: everything that waits goes into one transaction, one fsync, then is answered.

A transaction holds only so many bytes and the topics take turns, small records first, so that a start record never
waits behind a queue of bulk, only for the transaction that is being written.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forewarn_collector.log.ends import Ends
from forewarn_collector.log.interface import Appended, LogFull, LogUnavailable, TopicPartition
from forewarn_collector.log.sqlite_checkpoint import Checkpointer
from forewarn_collector.log.sqlite_file import TopicTable, closed, open_for_writing, tables, unavailable
from forewarn_collector.log.sqlite_room import Room

_log = logging.getLogger(__name__)

BYTES_PER_TRANSACTION: Final = 1 << 20
"""Large enough that the fsync is a small part of it; one record that is larger goes alone."""
MAX_WAITING_BYTES: Final = 256 << 20
"""What may wait in memory for the disk; beyond it senders are told to come back later."""
HOUSEKEEPING_S: Final = 30.0
"""How long an idle writer sleeps before it looks for records past their age."""


@dataclass(slots=True)
class Append:
    """One record on its way in, and the promise to whoever waits for it."""

    topic: str
    value: bytes
    key: bytes
    headers: bytes
    done: Future[Appended]

    @property
    def size(self) -> int:
        return len(self.value) + len(self.key) + len(self.headers) + ROW_OVERHEAD_BYTES


ROW_OVERHEAD_BYTES: Final = 64


@dataclass(slots=True)
class Change:
    """Anything else that is written: the same transaction, the same promise."""

    apply: Callable[[Writing], Any]
    done: Future[Any]


class Writing:
    """What the writer thread alone holds: the connection, the topics' tables, the next offsets, the last times."""

    def __init__(self, path: Path) -> None:
        self.connection = open_for_writing(path)
        self._tables = {table.name: table for table in tables(self.connection)}
        self._next = {name: table.end(self.connection) for name, table in self._tables.items()}
        self._last_at = {name: table.last_at(self.connection) for name, table in self._tables.items()}

    def table(self, topic: str) -> TopicTable:
        if topic not in self._tables:
            self._tables[topic] = TopicTable.created(self.connection, topic)
            self._next[topic] = self._tables[topic].end(self.connection)
        return self._tables[topic]

    def tables(self) -> list[TopicTable]:
        return list(self._tables.values())

    def ends(self) -> dict[str, int]:
        return dict(self._next)

    def insert(self, topic: str, appends: list[Append], now_ns: int) -> list[Appended]:
        """Write one topic's records, in order, with times that never go back."""
        table = self.table(topic)
        first, at = self._next[topic], max(now_ns, self._last_at.get(topic, 0))
        self.connection.executemany(
            table.insert,
            ((first + i, at, a.size, a.key, a.headers, a.value) for i, a in enumerate(appends)),
        )
        self._next[topic], self._last_at[topic] = first + len(appends), at
        where = TopicPartition(topic, 0)
        return [Appended(where, first + i, at) for i in range(len(appends))]


class GroupCommit:
    """Takes appends and changes from any thread; writes them on its own."""

    def __init__(self, path: Path, ends: Ends, room: Room, *, clock_ns: Callable[[], int]) -> None:
        self._path = path
        self._ends = ends
        self._room = room
        self._clock_ns = clock_ns
        self._work = threading.Condition()
        self._appends: dict[str, deque[Append]] = {}
        self._changes: deque[Change] = deque()
        self._passed_over: set[str] = set()
        self._waiting_bytes = 0
        self._closing = False
        self._in_hand: list[Append | Change] = []
        self._writing: Writing | None = Writing(path)
        ends.advance(self._writing.ends())
        self._checkpointer = Checkpointer(path)
        self._thread = threading.Thread(target=self._run, name="forewarn-log-writer", daemon=True)
        self._thread.start()

    def append(self, append: Append) -> Future[Appended]:
        with self._work:
            if self._closing:
                append.done.set_exception(closed(self._path))
            elif self._waiting_bytes and self._waiting_bytes + append.size > MAX_WAITING_BYTES:
                append.done.set_exception(
                    LogFull(f"{self._waiting_bytes >> 20} MB wait for the disk under {self._path}: send again later.")
                )
            else:
                self._appends.setdefault(append.topic, deque()).append(append)
                self._waiting_bytes += append.size
                self._work.notify()
        return append.done

    def change(self, apply: Callable[[Writing], Any]) -> Future[Any]:
        """Have `apply` run within the next transaction; the future holds what it returned, once that is durable."""
        change = Change(apply, Future())
        with self._work:
            if self._closing:
                change.done.set_exception(closed(self._path))
            else:
                self._changes.append(change)
                self._work.notify()
        return change.done

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._work:
            self._closing = True
            self._work.notify()
        self._thread.join()

    def _run(self) -> None:
        untidy = False
        try:
            while self._await_work(0.0 if untidy else HOUSEKEEPING_S):
                changes, appends = self._take()
                if changes or appends:
                    self._write(changes, appends)
                untidy = self._tidy()
        finally:
            self._stop()

    def _await_work(self, timeout_s: float) -> bool:
        """Wait for work, for the end, or until it is time to tidy; False when everything is written and over."""
        with self._work:
            self._work.wait_for(lambda: self._closing or self._has_work(), timeout_s)
            return not self._closing or self._has_work()

    def _has_work(self) -> bool:
        return bool(self._changes) or any(self._appends.values())

    def _take(self) -> tuple[list[Change], dict[str, list[Append]]]:
        """What the next transaction holds: all the changes, and as many appends as fit its size."""
        with self._work:
            changes = [change for change in self._changes if change.done.set_running_or_notify_cancel()]
            self._changes.clear()
            appends = self._next_appends()
        self._in_hand = [*changes, *(append for share in appends.values() for append in share)]
        return changes, appends

    def _next_appends(self) -> dict[str, list[Append]]:
        """Topics in turn: those passed over last time, then the one whose next record is the smallest."""
        waiting = [topic for topic, queue in self._appends.items() if queue]
        waiting.sort(key=lambda topic: (topic not in self._passed_over, self._appends[topic][0].size))
        left = BYTES_PER_TRANSACTION
        taken: dict[str, list[Append]] = {}
        for topic in waiting:
            share, left = self._share(self._appends[topic], left, alone=not taken)
            if share:
                taken[topic] = share
        self._passed_over = {topic for topic in waiting if topic not in taken}
        return taken

    def _share(self, queue: deque[Append], left: int, *, alone: bool) -> tuple[list[Append], int]:
        share: list[Append] = []
        while queue and (queue[0].size <= left or (alone and not share)):
            append = queue.popleft()
            self._waiting_bytes -= append.size
            if append.done.set_running_or_notify_cancel():
                share.append(append)
                left -= append.size
        return share, left

    def _write(self, changes: list[Change], appends: dict[str, list[Append]]) -> None:
        """THE promise of the log: every future is answered after COMMIT, or with the reason why not."""
        try:
            writing = self._writing = self._writing or Writing(self._path)
            fitting = self._fitting(writing, appends)
            writing.connection.execute("BEGIN IMMEDIATE")
            results = [change.apply(writing) for change in changes]
            now = self._clock_ns()
            written = [(batch, writing.insert(topic, batch, now)) for topic, batch in fitting.items() if batch]
            writing.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._reopen()
            self._refuse_in_hand(unavailable(self._path, error))
            return
        self._checkpointer.wrote(sum(append.size for batch in fitting.values() for append in batch))
        self._ends.advance(writing.ends())
        for change, result in zip(changes, results, strict=True):
            change.done.set_result(result)
        for batch, places in written:
            for append, place in zip(batch, places, strict=True):
                append.done.set_result(place)
        # Senders first: on one interpreter lock a consumer at work would make them wait for their answer.
        self._ends.ring()

    def _fitting(self, writing: Writing, appends: dict[str, list[Append]]) -> dict[str, list[Append]]:
        """The appends there is room for; the others are told that the log is full."""
        left = self._room.make(writing, sum(a.size for batch in appends.values() for a in batch))
        fitting: dict[str, list[Append]] = {}
        for topic, batch in appends.items():
            fitting[topic] = []
            for append in batch:
                if append.size <= left:
                    left -= append.size
                    fitting[topic].append(append)
                else:
                    append.done.set_exception(self._room.full(self._path, writing))
        return fitting

    def _tidy(self) -> bool:
        """Between two transactions: drop what is past its age, give space back; trouble here fails no append."""
        if self._writing is None:
            return False
        try:
            if self._checkpointer.asks_writer:
                self._checkpointer.finish(self._writing.connection)
            return self._room.tidy(self._writing, self._clock_ns())
        except sqlite3.Error as error:
            _log.warning("The log could not drop old records; it tries again: %s", unavailable(self._path, error))
            self._reopen()
            return False

    def _refuse_in_hand(self, reason: LogUnavailable) -> None:
        for item in self._in_hand:
            if not item.done.done():
                item.done.set_exception(reason)

    def _reopen(self) -> None:
        """After an error nothing of the connection is trusted: an fsync that failed must not seem to succeed later."""
        if self._writing is not None:
            self._writing.connection.close()
        self._writing = None

    def _stop(self) -> None:
        """Whatever ended the thread: nobody waits for it any longer."""
        with self._work:
            self._closing = True
            left: list[Append | Change] = [*self._changes]
            left += [append for queue in self._appends.values() for append in queue]
            self._changes.clear()
            self._appends.clear()
        self._in_hand += [item for item in left if item.done.set_running_or_notify_cancel()]
        self._refuse_in_hand(closed(self._path))
        self._checkpointer.close()
        self._reopen()
        self._ends.close()
