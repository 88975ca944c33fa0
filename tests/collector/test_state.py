"""The state's engine: a commit is durable, and two writers wait for each other instead of failing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from forewarn_collector.state import READ_ONLY, open_state

metadata = MetaData()
counters = Table("counters", metadata, Column("id", Integer, primary_key=True), Column("value", Integer))
notes = Table("notes", metadata, Column("counter", ForeignKey("counters.id"), nullable=False))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.sqlite3'}")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(counters).values(id=1, value=0))
    yield engine
    engine.dispose()


def test_sqlite_is_set_up_to_keep_what_was_committed(engine: Engine) -> None:
    """WAL, fsync on every commit, foreign keys enforced."""
    with engine.connect() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")}

    assert found == {"journal_mode": "wal", "synchronous": 2}


def test_foreign_keys_hold(engine: Engine) -> None:
    """SQLite leaves them off unless asked."""
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(notes).values(counter=99))


def test_transactions_that_read_and_then_write_do_not_trip(engine: Engine) -> None:
    """Eight threads count to twenty-five each, reading before they write: no error, no lost count."""

    def count(_: int) -> None:
        for _ in range(25):
            with engine.begin() as connection:
                value = connection.execute(select(counters.c.value)).scalar_one()
                connection.execute(update(counters).values(value=value + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))

    with engine.connect() as connection:
        assert connection.execute(select(counters.c.value)).scalar_one() == 200


def test_a_reader_waits_for_no_writer(engine: Engine) -> None:
    """With READ_ONLY the last committed state is read while somebody writes."""
    writing, done = threading.Event(), threading.Event()

    def write() -> None:
        with engine.begin() as connection:
            connection.execute(update(counters).values(value=5))
            writing.set()
            done.wait(20)

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        assert writing.wait(20)
        with engine.connect().execution_options(**READ_ONLY) as connection:
            value = connection.execute(select(counters.c.value)).scalar_one()
        done.set()
        writer.result(20)

    assert value == 0


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    """All or nothing, tables included."""

    def fail() -> None:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE half (id INTEGER)"))
            connection.execute(update(counters).values(value=7))
            connection.execute(insert(notes).values(counter=99))

    with pytest.raises(IntegrityError):
        fail()

    with engine.connect() as connection:
        assert connection.execute(select(counters.c.value)).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM sqlite_master WHERE name = 'half'")).scalar_one() == 0
