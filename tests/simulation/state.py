"""
The state database: SQLite in memory, whose commits survive every crash and whose open transactions survive none.

One engine serves a process of the simulation for all histories, so that SQLAlchemy compiles each statement once; each
history hands it a connection of its own.
"""

from __future__ import annotations

import random
import sqlite3
from typing import Any, Final

from sqlalchemy import Engine, event
from tests.simulation.fate import Fate

from forewarn_alerts.incidents import Incidents
from forewarn_alerts.outbox import Outbox
from forewarn_collector.gateway.keys import KeyRing
from forewarn_collector.state.engine import open_state

ENVIRONMENTS: Final = ("production", "test")


class _Cursor(sqlite3.Cursor):
    connection: StateConnection

    def execute(self, sql: str, *args: Any) -> Any:
        self.connection.before(sql)
        return super().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        self.connection.before(sql)
        return super().executemany(sql, *args)


class StateConnection(sqlite3.Connection):
    """The database of one history. `close` is for its users, who come and go."""

    fate: Fate | None = None

    def cursor(self, _factory: Any = _Cursor) -> Any:
        return super().cursor(_Cursor)

    def before(self, sql: str) -> None:
        fate = self.fate
        if fate is None or fate.process is None or fate.process.kind not in {"watcher", "deliverer"}:
            return
        fate.point(f"before {sql.split(maxsplit=1)[0]}")
        if sql.startswith("BEGIN") and fate.strikes("state is away"):
            raise sqlite3.OperationalError("disk I/O error")

    def commit(self) -> None:
        if self.fate is not None and self.fate.process is not None:
            self.fate.point("before COMMIT")
            if self.in_transaction and self.fate.strikes("state is away"):
                super().rollback()
                raise sqlite3.OperationalError("disk I/O error")
        super().commit()
        if self.fate is not None and self.fate.process is not None:
            self.fate.point("behind COMMIT")

    def close(self) -> None:
        """The database outlives its users."""

    def close_for_good(self) -> None:
        super().close()


class State:
    """Databases for histories, each a copy of an empty one that has its tables and two keys."""

    def __init__(self) -> None:
        self._connection = self._new()
        self.engine: Engine = open_state("sqlite://")
        event.listen(self.engine, "do_connect", lambda *_: self._connection)
        Incidents(self.engine, {}, clock_ns=lambda: 0)
        Outbox(self.engine, clock_ns=lambda: 0)
        chance = random.Random(0)
        keys = KeyRing(self.engine, token=lambda size: chance.randbytes(size).hex())
        self.keys = {environment: keys.create(environment).text for environment in ENVIRONMENTS}
        self._empty = self._connection.serialize()

    def begin(self, fate: Fate) -> None:
        self.engine.dispose()
        self._connection.fate = None
        self._connection.close_for_good()
        self._connection = self._new()
        self._connection.deserialize(self._empty)
        self._connection.fate = fate

    def crash(self) -> None:
        """Whoever was in a transaction is gone, and its transaction with it."""
        fate, self._connection.fate = self._connection.fate, None
        self._connection.rollback()
        self.engine.dispose()
        self._connection.fate = fate

    @staticmethod
    def _new() -> StateConnection:
        return sqlite3.connect(":memory:", factory=StateConnection, check_same_thread=False)
