"""
The state's engine, set up so that a commit survives the machine and two writers never trip over each other.

On SQLite every transaction takes the write lock when it begins, as if it were SERIALIZABLE: a transaction that reads
and then writes would otherwise fail at once, whatever the busy timeout, when another one has written in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url

from forewarn_collector.private_file import make_private
from forewarn_collector.write_ahead import reserve

BUSY_TIMEOUT_MS: Final = 5_000
WAL_RESERVED_BYTES: Final = 5 << 20
"""What SQLite writes there before it starts over (1,000 pages of 4 KiB), and a little more."""

READ_ONLY: Final = {"sqlite_begin": "DEFERRED"}
"""`engine.connect().execution_options(**READ_ONLY)`: a transaction that only reads, and waits for no writer."""

metadata = MetaData()
"""Each room declares its tables here, in its own module, and creates them when its repository is made."""


def open_state(url: str) -> Engine:
    """The engine for `sqlite:///PATH` or a PostgreSQL URL; nothing is connected yet."""
    engine = create_engine(url)
    if make_url(url).get_backend_name() == "sqlite":
        event.listen(engine, "do_connect", _keep_private)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _keep_private(_dialect: Any, _record: Any, arguments: Any, _parameters: Any) -> None:
    if arguments[0] != ":memory:":
        make_private(Path(arguments[0]))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of transactions is turned off: it would begin them late and without the lock.
    connection.isolation_level = None
    for setting in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the write-ahead file
    (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
    if path:  # '' for a database in memory
        reserve(Path(path), WAL_RESERVED_BYTES)


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {kind}")
