"""What only the SQLite side can do, or do wrong: its file, its disk, its one writer."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from forewarn_collector.log import sqlite_checkpoint, sqlite_file, sqlite_room, sqlite_writer
from forewarn_collector.log.interface import Committed, LogFull, LogUnavailable, TopicPartition
from forewarn_collector.log.sqlite import SqliteLog

DEADLINE_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite3"


@contextlib.contextmanager
def opened(path: Path, **bounds: Any) -> Iterator[SqliteLog]:
    log = SqliteLog(path, **bounds)
    try:
        yield log
    finally:
        log.close()


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody else holds the file's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def read_all(log: SqliteLog, group: str, topic: str) -> list[bytes]:
    consumer = log.consumer(group, [topic])
    values: list[bytes] = []
    while batch := consumer.poll():
        values += [record.value for record in batch]
        consumer.commit({batch[-1].at: Committed(batch[-1].offset + 1)})
    consumer.close()
    return values


def test_the_file_is_set_up_to_survive_the_machine(path: Path) -> None:
    """Durable means fsync on every commit: WAL with synchronous=FULL."""
    connection = sqlite_file.open_for_writing(path)

    mode = connection.execute("PRAGMA journal_mode").fetchone()
    synchronous = connection.execute("PRAGMA synchronous").fetchone()
    connection.close()

    assert (mode, synchronous) == (("wal",), (2,))


def test_done_means_committed(path: Path) -> None:
    """When a future is done, anybody who opens the file finds the record."""
    found: list[int] = []

    def look(_: Any) -> None:
        other = sqlite3.connect(path)
        found.append(other.execute("SELECT count(*) FROM topic_1").fetchone()[0])
        other.close()

    with opened(path) as log:
        for _ in range(3):
            with held(path):
                append = log.append("t", b"value")
                append.add_done_callback(look)
            append.result(DEADLINE_S)
            log.append("other", b"so that the callback has run").result(DEADLINE_S)

    assert found == [1, 2, 3]


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    """Opening fails with the place and what to do."""
    with pytest.raises(LogUnavailable, match=r"missing/log\.sqlite3 .*folder exists and is writable"):
        SqliteLog(tmp_path / "missing" / "log.sqlite3")


def test_a_file_that_is_no_log_is_said_at_once(path: Path) -> None:
    """Somebody else's file is not written over."""
    path.write_bytes(b"This is a letter to my grandmother." * 100)

    with pytest.raises(LogUnavailable, match="move it away"):
        SqliteLog(path)

    assert path.read_bytes().startswith(b"This is a letter")


def test_a_lock_held_elsewhere_fails_the_append_and_passes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append that could not be written says so; the next one after the trouble is taken."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 20)
    with opened(path) as log:
        log.append("t", b"before").result(DEADLINE_S)
        with held(path), pytest.raises(LogUnavailable, match="Another process holds the file"):
            log.append("t", b"during").result(DEADLINE_S)

        log.append("t", b"after").result(DEADLINE_S)

        assert read_all(log, "g", "t") == [b"before", b"after"]


def test_a_full_disk_fails_the_append_and_passes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space left is told to the sender, what was taken before stays, and space freed is used."""
    whole_disk = 40
    real = sqlite_file.open_for_writing

    def on_a_small_disk(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute(f"PRAGMA max_page_count={whole_disk}")
        return connection

    monkeypatch.setattr(sqlite_writer, "open_for_writing", on_a_small_disk)
    with opened(path) as log:
        log.append("t", b"before").result(DEADLINE_S)
        with pytest.raises(LogUnavailable, match=r"full.*Free disk space"):
            log.append("t", bytes(1 << 20)).result(DEADLINE_S)
        whole_disk = 4000

        log.append("t", b"after").result(DEADLINE_S)

        assert read_all(log, "g", "t") == [b"before", b"after"]


def test_one_record_that_cannot_be_written_does_not_stop_the_log(path: Path) -> None:
    """A mistake of one caller is told to that caller; the writer goes on."""
    with opened(path) as log:
        with pytest.raises(LogUnavailable):
            log.append("t", ["no bytes"]).result(DEADLINE_S)  # type: ignore[arg-type]

        log.append("t", b"fine").result(DEADLINE_S)

        assert read_all(log, "g", "t") == [b"fine"]


def test_a_small_record_waits_for_one_transaction_not_for_the_queue(path: Path) -> None:
    """Bulk must not delay an alarm: a start record passes the bulk that waits before it."""
    order: list[str] = []
    with opened(path) as log:
        with held(path):
            bulk = [log.append("bulk", bytes(700_000)) for _ in range(10)]
            start = log.append("starts", b"start")
            for future in bulk:
                future.add_done_callback(lambda _: order.append("bulk"))
            start.add_done_callback(lambda _: order.append("start"))
        [future.result(DEADLINE_S) for future in (*bulk, start)]

    assert order.index("start") <= 2
    assert order.count("bulk") == 10


def test_bulk_is_not_starved_by_small_records(path: Path) -> None:
    """The topics take turns: a stream of start records does not keep bulk out for ever."""
    order: list[str] = []
    with opened(path) as log:
        with held(path):
            starts = [log.append("starts", bytes(200_000)) for _ in range(40)]
            bulk = log.append("bulk", bytes(900_000))
            bulk.add_done_callback(lambda _: order.append("bulk"))
            for future in starts:
                future.add_done_callback(lambda _: order.append("start"))
        [future.result(DEADLINE_S) for future in (*starts, bulk)]

    assert order.index("bulk") <= 15


def test_a_cancelled_append_is_left_out_and_harms_nobody(path: Path) -> None:
    """A sender that stopped waiting before its turn is not written, and its neighbours are."""
    with opened(path) as log:
        with held(path):
            busy = log.append("t", b"in hand")
            late = [log.append("t", bytes(1 << 20)) for _ in range(3)]
            cancelled = late[2].cancel()
        busy.result(DEADLINE_S)
        [future.result(DEADLINE_S) for future in late[:2]]

        assert cancelled
        assert [len(value) for value in read_all(log, "g", "t")] == [7, 1 << 20, 1 << 20]


def test_too_much_waiting_for_the_disk_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded when the disk does not keep up: senders are told to come back later."""
    monkeypatch.setattr(sqlite_writer, "MAX_WAITING_BYTES", 1 << 20)
    with opened(path) as log:
        with held(path):
            futures = [log.append("t", bytes(400_000)) for _ in range(10)]
        refused = [future for future in futures if isinstance(future.exception(DEADLINE_S), LogFull)]

        assert 1 <= len(refused) < 10
        assert len(read_all(log, "g", "t")) == 10 - len(refused)


def test_offsets_are_never_given_twice(path: Path) -> None:
    """Not even when every record has been dropped and the process was started anew."""
    clock = iter(range(0, 10**18, 10**15))
    with opened(path, retention=timedelta(seconds=1), clock_ns=lambda: next(clock)) as log:
        last = [log.append("t", b"%d" % n).result(DEADLINE_S) for n in range(5)][-1]
        log.append("other", b"gives the writer time to tidy").result(DEADLINE_S)

    with opened(path) as log:
        assert log.append("t", b"new").result(DEADLINE_S).offset == last.offset + 1


def test_space_comes_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When much of the file is free it shrinks, a little at a time."""
    monkeypatch.setattr(sqlite_room, "SHRINK_WHEN_FREE_BYTES", 1 << 20)
    with opened(path, max_bytes=64 << 20, retention=timedelta(seconds=1)) as log:
        consumer = log.consumer("g", ["t"])
        [log.append("t", bytes(1 << 20)) for _ in range(20)][-1].result(DEADLINE_S)
        consumer.commit({TopicPartition("t", 0): Committed(20)})
        consumer.close()
    full = path.stat().st_size

    with opened(path, retention=timedelta(seconds=0)) as log:
        for _ in range(40):
            log.append("other", b"a turn for the writer to tidy").result(DEADLINE_S)

    assert full > 20 << 20
    assert path.stat().st_size < 2 << 20


def test_the_write_ahead_file_does_not_grow_without_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under bulk that never pauses the writer finishes a checkpoint now and then, and the file starts over."""
    monkeypatch.setattr(sqlite_checkpoint, "AFTER_BYTES", 1 << 20)
    monkeypatch.setattr(sqlite_checkpoint, "FINISH_BEYOND_BYTES", 4 << 20)
    with opened(path) as log:
        for _ in range(60):
            [log.append("t", os.urandom(1 << 20)) for _ in range(2)][-1].result(DEADLINE_S)

        assert Path(f"{path}-wal").stat().st_size < 60 << 20


def test_positions_survive_a_restart(path: Path) -> None:
    """Offsets and their notes are in the same file as the records."""
    at = TopicPartition("t", 0)
    with opened(path) as log:
        log.append("t", b"1").result(DEADLINE_S)
        consumer = log.consumer("g", ["t"])
        consumer.commit({at: Committed(1, "note")})
        consumer.close()

    with opened(path) as log:
        consumer = log.consumer("g", ["t"])
        assert consumer.committed(at) == Committed(1, "note")
        assert consumer.poll() == []
        consumer.close()


def test_times_do_not_go_back_over_a_restart(path: Path) -> None:
    """A clock that was set back while the process was down does not put new records before old ones."""
    with opened(path, clock_ns=lambda: 2_000) as log:
        log.append("t", b"1").result(DEADLINE_S)

    with opened(path, clock_ns=lambda: 1_000) as log:
        assert log.append("t", b"2").result(DEADLINE_S).timestamp_ns == 2_000


def test_a_writer_that_breaks_leaves_nobody_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the writer's thread, every append is answered, and later ones are refused."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def broken() -> int:
        raise MemoryError

    log = SqliteLog(path, clock_ns=broken)
    with pytest.raises(LogUnavailable):
        log.append("t", b"1").result(DEADLINE_S)
    with pytest.raises(LogUnavailable):
        log.append("t", b"2").result(DEADLINE_S)
    log.close()
