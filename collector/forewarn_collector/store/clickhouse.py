"""
The store on chDB: ClickHouse's engine inside this process.

What the engine forbids: a second process on the same folder, a second folder in the same process, and a fork after it
is open (the child hangs at its first query). Handles are cheap and each is used by one thread.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import as_file as packaged_file
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import chdb
import clickhouse_connect
from chdb import ChdbError
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from forewarn_collector.dialects.table import dialects
from forewarn_collector.log.interface import Record
from forewarn_collector.store.events import event_lines
from forewarn_collector.store.framing import frames
from forewarn_collector.store.handover import as_file
from forewarn_collector.store.interface import BadPayload, BadQuery, Rows, StoreUnavailable
from forewarn_collector.store.library import named_queries
from forewarn_collector.store.migrations import migrate, packaged_migrations, renew_views
from forewarn_collector.store.quoting import identifier, quoted
from forewarn_collector.store.row_binary import COLUMNS, rows_of
from forewarn_collector.store.scopes import is_ours
from forewarn_collector.store.sessions import Limits, Session
from forewarn_collector.store.unfolding import LANDING, OWN_LANDING, unfolding_views
from forewarn_collector.tools.tool_list import ToolList

_CODE: Final = re.compile(r"Code: (\d+)")
# What the engine says of bytes that it cannot read or cannot unfold. Should it be the view that is wrong, every record
# is refused, and the sink holds the batch back for a while before it buries it.
_BYTES_AT_FAULT: Final = ("RowInputFormat", "pushing to view")
# Codes by which the engine says "not now"; any other answer to a query is about the query.
_NOT_NOW: Final = {159, 202, 210, 236, 241, 242, 243, 252, 319, 394}
_INSERT_SETTINGS: Final = {"async_insert": "0"}
# Age counts from the arrival: a sender whose clock says 1970 must not be forgotten at once.
_ARRIVAL: Final = {
    "spans": "received_at",
    "calls": "received_at",
    "trace_times": "received_at",
    "senders": "received_at",
    "events": "ts",
}

# Where decoding here begins to cost as much time under Python's lock as a page can be late by: about 45 spans, 3 ms.
_SMALL_BYTES: Final = 64 << 10
# One insert keeps one core busy (its writing, mostly): a large batch is inserted in shares, side by side.
_SHARES: Final = 2
_SHARED_FROM_BYTES: Final = 4 << 20


@dataclass(slots=True)
class _Handle:
    """One thread's way into the engine: `connection` for inserts, `client` for questions."""

    connection: Any
    client: Client


class EmbeddedStore:
    """The store in a folder of this machine; open it in one process only."""

    def __init__(
        self,
        path: Path,
        *,
        database: str = "default",
        retention: timedelta | None = None,
        tools: ToolList | None = None,
    ) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = os.path.realpath(path)
        self._database = database
        self._retention = retention
        self._tools = tools or ToolList()
        self._local = threading.local()
        self._handles: list[_Handle] = []
        self._lock = threading.Lock()
        self._closed = False
        self._inserters = ThreadPoolExecutor(_SHARES, thread_name_prefix="forewarn-insert")
        self._schema: AbstractContextManager[Path] = packaged_file(files(__package__).joinpath("otlp_traces.proto"))
        self._proto = self._schema.__enter__()
        # Kept open: with the last connection the engine would close and load every table anew for the next.
        self._root = self._connect()
        self._root.query(f"CREATE DATABASE IF NOT EXISTS {identifier(database)}")

    def migrate(self) -> None:
        migrate(self._statement, packaged_migrations())
        renew_views(self._statement, unfolding_views(dialects(), self._tools))
        for table, column in _ARRIVAL.items():
            self._retain(table, column)

    def insert_spans(self, records: Sequence[Record], *, token: str) -> None:
        small = sum(len(record.value) for record in records) <= _SMALL_BYTES
        rows = rows_of(records, self._tools) if small else None
        if rows is None:
            self._unfold_spans(records, token)
        elif rows:
            self._insert(f"arriving_spans ({', '.join(COLUMNS)})", {}, "RowBinary", body=[rows], token=token)

    def insert_events(self, records: Sequence[Record], *, token: str) -> None:
        self._insert(
            "arriving_events",
            {"date_time_input_format": "best_effort"},
            "JSONEachRow",
            body=[event_lines(records)],
            token=token,
        )

    def query(self, sql_or_name: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        named = named_queries().get(sql_or_name)
        sql = named.sql if named else sql_or_name
        bound = named.bind(parameters or {}) if named else dict(parameters or {})
        try:
            result = self._handle().client.query(sql, parameters=bound)
        except ClickHouseError as fault:
            raise _query_fault(fault) from fault
        return Rows(tuple(result.column_names), tuple(tuple(row) for row in result.result_rows))

    def session(self, limits: Limits, *, settings: Mapping[str, str] | None = None, database: str = "") -> Session:
        """A read-only way in for one query of one stranger: see `sessions`."""
        return Session(self._path, database or self._database, limits, settings or {})

    def close(self) -> None:
        self._inserters.shutdown()
        with self._lock:
            self._closed = True
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.client.close()
            handle.connection.close()
        self._root.close()
        self._schema.__exit__(None, None, None)

    def _unfold_spans(self, records: Sequence[Record], token: str) -> None:
        shares = _shares(records)
        if len(shares) == 1:
            self._insert_share(records, token)
            return
        inserts = [
            self._inserters.submit(self._insert_share, share, f"{token}/{number}")
            for number, share in enumerate(shares)
        ]
        wait(inserts)
        for insert in inserts:
            insert.result()

    def _insert_share(self, records: Sequence[Record], token: str) -> None:
        ours = [record for record in records if is_ours(record.value)]
        if len(ours) == len(records):
            self._land(OWN_LANDING, records, token)
            return
        self._land(LANDING, [record for record in records if not is_ours(record.value)], token)
        if ours:
            self._land(OWN_LANDING, ours, f"{token}/ours")

    def _land(self, landing: str, records: Sequence[Record], token: str) -> None:
        settings = {"format_schema": f"{self._proto}:Request", "input_format_protobuf_oneof_presence": "1"}
        self._insert(landing, settings, "Protobuf", body=frames(records), token=token)

    def _insert(
        self, target: str, settings: Mapping[str, str], input_format: str, *, body: Iterable[bytes], token: str
    ) -> None:
        named = {**_INSERT_SETTINGS, **settings, "insert_deduplication_token": token}
        pairs = ", ".join(f"{name} = {quoted(value)}" for name, value in named.items())
        with as_file(body) as path:
            sql = f"INSERT INTO {target} FROM INFILE {quoted(path)} SETTINGS {pairs} FORMAT {input_format}"
            try:
                self._handle().connection.query(sql)
            except (ChdbError, RuntimeError) as fault:
                raise _insert_fault(fault) from fault

    def _handle(self) -> _Handle:
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._open()
            self._local.handle = handle
        return handle

    def _open(self) -> _Handle:
        with self._lock:
            if self._closed:
                msg = "the store is closed"
                raise StoreUnavailable(msg)
            connection = self._connect()
            connection.query(f"USE {identifier(self._database)}")
            settings = {"final": 1, "do_not_merge_across_partitions_select_final": 1}
            client = clickhouse_connect.get_client(
                interface="chdb", path=self._path, database=self._database, settings=settings
            )
            handle = _Handle(connection, client)
            self._handles.append(handle)
            return handle

    def _connect(self) -> Any:
        try:
            return chdb.connect(self._path)
        except (ChdbError, RuntimeError) as fault:
            msg = f"the store in {self._path} cannot be opened; is another process using it? ({fault})"
            raise StoreUnavailable(msg) from fault

    def _statement(self, sql: str) -> Sequence[Sequence[object]]:
        text = self._handle().connection.query(sql, "TabSeparated").bytes().decode()
        return [line.split("\t") for line in text.splitlines()]

    def _retain(self, table: str, column: str) -> None:
        if self._retention is None:
            return
        seconds = int(self._retention.total_seconds())
        self._statement(f"ALTER TABLE {table} MODIFY TTL toDateTime({column}) + toIntervalSecond({seconds})")


def _shares(records: Sequence[Record]) -> list[Sequence[Record]]:
    """The records in order, cut where about half of the bytes are through: the same records are always cut the same."""
    sizes = list(accumulate(len(record.value) for record in records))
    if len(records) < _SHARES or sizes[-1] < _SHARED_FROM_BYTES:
        return [records]
    middle = max(1, bisect_left(sizes, sizes[-1] // _SHARES))
    return [records[:middle], records[middle:]]


def _code(fault: Exception) -> int:
    found = _CODE.search(str(fault))
    return int(found[1]) if found else 0


def _insert_fault(fault: Exception) -> BadPayload | StoreUnavailable:
    if _code(fault) not in _NOT_NOW and any(sign in str(fault) for sign in _BYTES_AT_FAULT):
        return BadPayload(f"the engine refuses these bytes: {fault}")
    return StoreUnavailable(f"the insert failed: {fault}")


def _query_fault(fault: Exception) -> BadQuery | StoreUnavailable:
    if _code(fault) in _NOT_NOW:
        return StoreUnavailable(f"the store cannot answer now: {fault}")
    return BadQuery(str(fault))
