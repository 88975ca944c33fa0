"""The doctor's look at what could not be stored: how many records the sink has buried, and why the last one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from forewarn.conventions import Topic
from forewarn_collector.data_folder import DataFolder
from forewarn_collector.sink import REASON_HEADER, SOURCE_HEADER
from forewarn_control.doctor.check import Check, ok, warning

_NAME: Final = "dead letters"
_DO: Final = (
    "mend their sender (the log of `forewarn serve` names each); what could be understood of them is stored all the "
    "same, and the records as they came stay in the log's topic otlp_spans.dead_letters until its retention is over"
)


def dead_letters(folder: Path) -> Check:
    """Read from the log's file, so that it can be said also where nobody serves the folder."""
    log = DataFolder(folder.absolute()).log
    if not log.exists():
        return ok(_NAME, "none: there is no log yet")
    try:
        with closing(sqlite3.connect(f"{log.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return _counted(connection)
    except sqlite3.Error as error:
        return warning(_NAME, f"{log} cannot be read: {error}", "run the doctor as the user who serves the folder")


def _counted(connection: sqlite3.Connection) -> Check:
    topic = connection.execute("SELECT id FROM topics WHERE name = ?", (Topic.DEAD_LETTERS,)).fetchone()
    table = f"topic_{topic[0]}" if topic else ""
    count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] if topic else 0  # noqa: S608 -- a number
    if not count:
        return ok(_NAME, "every record that is in the log could be stored")
    newest = f"SELECT headers FROM {table} ORDER BY position DESC LIMIT 1"  # noqa: S608 -- a number
    headers = msgspec.msgpack.decode(connection.execute(newest).fetchone()[0], type=dict[str, bytes])
    place, reason = (headers.get(name, b"").decode("utf-8", "replace") for name in (SOURCE_HEADER, REASON_HEADER))
    records = "1 record was" if count == 1 else f"{count} records were"
    return warning(_NAME, f"{records} buried, the last ({place}) because: {reason[:300]}", _DO)
