"""Numbered files, each applied once, and a store of the future left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.interface import OtherVersion
from forewarn_collector.store.migrations import Migration, migrate, packaged_migrations


@pytest.fixture
def empty(store_home: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(store_home, database="test_migrations")
    yield store
    store.query("DROP DATABASE test_migrations SYNC")
    store.close()


def tables(store: EmbeddedStore) -> set[str]:
    return {name for (name,) in store.query("SHOW TABLES").rows}


def test_files_are_numbered_without_a_gap() -> None:
    """
    Whoever adds a migration takes the next number.
    """
    packaged = packaged_migrations()

    assert [migration.number for migration in packaged] == list(range(1, len(packaged) + 1))


def test_each_is_applied_once(empty: EmbeddedStore) -> None:
    """
    What the journal names is not run again; what is new is.
    """
    first, second = Migration(1, "a", "CREATE TABLE a (x Int8) ENGINE = Null;"), Migration(2, "b", "DROP TABLE a;\n")

    applied = [migrate(empty._statement, known) for known in ([first], [first], [first, second], [first, second])]

    assert applied == [[first], [], [second], []]
    assert tables(empty) == {"schema_migrations"}


def test_a_crash_in_the_middle_is_healed(empty: EmbeddedStore) -> None:
    """
    A file that was run by half is run again from its beginning.
    """
    ran: list[str] = []

    def dying(sql: str) -> Sequence[Sequence[object]]:
        if len(ran) == 9:
            raise ConnectionError("the process dies here")
        ran.append(sql)
        return empty._statement(sql)

    with pytest.raises(ConnectionError):
        migrate(dying, packaged_migrations())
    empty.migrate()

    assert {"spans", "calls", "events", "otel_traces", "landing"} <= tables(empty)
    assert len(empty.query("SELECT * FROM schema_migrations")) == len(packaged_migrations())


def test_a_store_of_a_newer_version_is_left_alone(empty: EmbeddedStore) -> None:
    """
    An old program refuses a new store, and says what to do.
    """
    empty.migrate()
    empty.query("INSERT INTO schema_migrations (number, name) VALUES (9999, 'future')")

    with pytest.raises(OtherVersion, match=r"the store has schema 9999, this program knows up to .* start the newer"):
        empty.migrate()


def test_retention_is_a_setting_of_each_start(store_home: Path) -> None:
    """
    Every table that grows forgets after the time that is set.
    """
    store = EmbeddedStore(store_home, database="test_retention", retention=timedelta(days=30))
    store.migrate()

    kept = {name for name, text in store.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = 'test_retention'"
    ).rows if "TTL" in text and "2592000" in text}  # fmt: skip

    store.query("DROP DATABASE test_retention SYNC")
    store.close()
    assert kept == {"spans", "calls", "trace_times", "senders", "events"}


def test_age_counts_from_the_arrival(store_home: Path, otlp: Any) -> None:
    """
    What came today is kept although its sender's clock says 1970; what came long ago goes, whatever its clock says.
    """
    now_ns = time.time_ns()
    month_ns = 31 * 86_400 * 10**9
    store = EmbeddedStore(store_home, database="test_age", retention=timedelta(days=30))
    store.migrate()

    today, once = replace(otlp, start_ns=now_ns), replace(otlp, start_ns=now_ns - month_ns)
    store.insert_spans([today.record(otlp.span(1, trace=1, start_time_unix_nano=0))], token="1")
    store.insert_spans([once.record(otlp.span(2, trace=2, start_time_unix_nano=now_ns + month_ns))], token="2")
    for table in ("spans", "calls", "trace_times"):
        store.query(f"OPTIMIZE TABLE {table} FINAL")

    kept = {
        table: [row["trace"] for row in store.query(f"SELECT DISTINCT hex(trace_id) AS trace FROM {table}")]
        for table in ("spans", "calls", "trace_times")
    }
    store.query("DROP DATABASE test_age SYNC")
    store.close()
    assert kept == {table: ["1".rjust(32, "0")] for table in kept}
