"""The demo's production database: a real SQLite file, thousands of rows, foreign keys that cascade, no backup."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE customers     (id INTEGER PRIMARY KEY, name TEXT, email TEXT, created_at TEXT);
CREATE TABLE customers_old (id INTEGER PRIMARY KEY, name TEXT, email TEXT, created_at TEXT);
CREATE TABLE orders        (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
                            cents INTEGER, created_at TEXT);
CREATE TABLE sessions      (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
                            created_at TEXT);
CREATE INDEX orders_of_customer   ON orders (customer_id);
CREATE INDEX sessions_of_customer ON sessions (customer_id);
"""
_CUSTOMERS: Final = 4200
_CUSTOMERS_OLD: Final = 1900
_ORDERS: Final = 9300
_SESSIONS: Final = 6400
_NAMES: Final = ("Ada", "Bo", "Chi", "Dana", "Eli", "Fay", "Gus", "Hana", "Ivo", "June", "Kim", "Lea", "Max", "Noor")


def create(path: Path, *, today: date, seed: int = 3) -> None:
    """
    Write the database; the same seed gives the same rows.

    No customer signed up in the last four months, yet they order every day: a table can look stale and be the heart of
    the business.
    """
    chance = random.Random(seed)  # noqa: S311 -- sample data
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", _people(_CUSTOMERS, chance, today, 120))
        database.executemany(
            "INSERT INTO customers_old VALUES (?, ?, ?, ?)", _people(_CUSTOMERS_OLD, chance, today, 800)
        )
        for table, rows, extra in (("orders", _ORDERS, True), ("sessions", _SESSIONS, False)):
            values = "(?, ?, ?, ?)" if extra else "(?, ?, ?)"
            database.executemany(f"INSERT INTO {table} VALUES {values}", _events(rows, chance, today, priced=extra))  # noqa: S608 -- constants


def connect(path: Path) -> sqlite3.Connection:
    """A connection as an application of this database has it: foreign keys enforced, so that deletes cascade."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA foreign_keys = ON")
    return database


def tables(database: sqlite3.Connection) -> list[str]:
    """The names of the tables, in order."""
    return [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]


def count(database: sqlite3.Connection, table: str) -> int:
    """How many rows; raise KeyError where there is no such table."""
    if table not in tables(database):
        raise KeyError(table)
    return int(database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 -- an existing table's name


def newest(database: sqlite3.Connection, table: str) -> str:
    """The day of the youngest row of a table that exists."""
    return str(database.execute(f'SELECT max(created_at) FROM "{table}"').fetchone()[0])  # noqa: S608 -- checked before


def counts(path: Path) -> dict[str, int]:
    """Rows of every table that is still there."""
    with closing(connect(path)) as database:
        return {table: count(database, table) for table in tables(database)}


def _people(rows: int, chance: random.Random, today: date, newest_days: int) -> Iterator[tuple[int, str, str, str]]:
    for number in range(1, rows + 1):
        name = chance.choice(_NAMES)
        day = today - timedelta(days=newest_days + chance.randrange(900))
        yield number, name, f"{name.lower()}{number}@example.com", day.isoformat()


def _events(rows: int, chance: random.Random, today: date, *, priced: bool) -> Iterator[tuple[object, ...]]:
    for number in range(1, rows + 1):
        customer = chance.randrange(1, _CUSTOMERS + 1)
        day = (today - timedelta(days=chance.randrange(365))).isoformat()
        yield (number, customer, chance.randrange(500, 50_000), day) if priced else (number, customer, day)
