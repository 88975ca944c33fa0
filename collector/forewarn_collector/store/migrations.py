"""
Brings a store's schema up to date: numbered SQL files, each applied once, in order, and recorded in the store itself.
Views that are made from settings and tables are made anew when they have become others (`renew_views`).

A file that has been released is never edited; the next change is the next number. ClickHouse has no transactions for
DDL: a crash in the middle of a file is healed because every statement is made repeatable (`IF NOT EXISTS`) before it
runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

from forewarn_collector.store.interface import OtherVersion

Run = Callable[[str], Sequence[Sequence[object]]]
"""Runs one statement and returns its rows."""

_JOURNAL: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    applied_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree ORDER BY number SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""
_CREATE: Final = re.compile(r"^\s*CREATE (TABLE|VIEW|MATERIALIZED VIEW) (?!IF NOT EXISTS)", re.MULTILINE)
_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str

    def statements(self) -> list[str]:
        """What to run, each repeatable; a statement ends with a semicolon at the end of a line."""
        parts = re.split(r";[ \t]*(?:\n|\Z)", self.text)
        return [_CREATE.sub(r"CREATE \1 IF NOT EXISTS ", part) for part in parts if _without_comments(part)]


def _without_comments(sql: str) -> str:
    return re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE).strip()


def packaged_migrations() -> list[Migration]:
    """All that this version knows, in order."""
    found: list[Migration] = []
    for file in files(__package__).joinpath("schema").iterdir():
        named = _FILE_NAME.fullmatch(file.name)
        if named:
            found.append(Migration(int(named[1]), named[2], file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(run: Run, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing and return it; raise `OtherVersion` where the store is ahead of this program."""
    run(_JOURNAL)
    applied = {int(str(row[0])) for row in run("SELECT number FROM schema_migrations FINAL")}
    newest = max((migration.number for migration in migrations), default=0)
    if applied and max(applied) > newest:
        msg = (
            f"the store has schema {max(applied):04d}, this program knows up to {newest:04d}; "
            "start the newer version of forewarn, or another data folder"
        )
        raise OtherVersion(msg)
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements():
            run(statement)
        run(f"INSERT INTO schema_migrations (number, name) VALUES ({migration.number}, '{migration.name}')")  # noqa: S608 - from our own file names
    return missing


def renew_views(run: Run, views: Mapping[str, str]) -> list[str]:
    """
    Create each view whose statement is another than the store has, and return their names.

    A view remembers by its comment what it was made of. Only while nothing is inserted: between two statements the
    view is not there.
    """
    have = {
        str(name): str(comment)
        for name, comment in run("SELECT name, comment FROM system.tables WHERE database = currentDatabase()")
    }
    renewed = []
    for name, statement in views.items():
        made_of = sha256(statement.encode()).hexdigest()
        if have.get(name) != made_of:
            run(f"DROP VIEW IF EXISTS {name} SYNC")
            run(f"{statement.rstrip()}\nCOMMENT '{made_of}'")
            renewed.append(name)
    return renewed
