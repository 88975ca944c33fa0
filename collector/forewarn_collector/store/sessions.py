"""
A stranger's way into the embedded store: one short-lived connection per query, read-only by the engine's own setting.

A connection costs about a millisecond and takes its state with it (USE, settings), so nothing leaks from one caller
to the next. `readonly=1` is set last: after it the engine itself refuses inserts, DDL, SET and the table functions
that reach outside. What it lets through nevertheless is refused by `statements`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import chdb


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take before it is stopped with the engine's own error."""

    seconds: float = 30.0
    result_rows: int = 1_000_000
    result_bytes: int = 256 << 20
    memory_bytes: int = 1 << 30
    threads: int = 2

    def settings(self) -> dict[str, str]:
        """As ClickHouse names them."""
        return {
            "max_execution_time": str(self.seconds),
            "max_result_rows": str(self.result_rows),
            "max_result_bytes": str(self.result_bytes),
            "result_overflow_mode": "throw",
            "max_memory_usage": str(self.memory_bytes),
            "max_threads": str(self.threads),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """An answer in its output format, and what it took (the names are those of `X-ClickHouse-Summary`)."""

    body: bytes
    summary: Mapping[str, str]


class Session:
    """Use it as a context manager, from one thread."""

    def __init__(self, path: str, database: str, limits: Limits, settings: Mapping[str, str]) -> None:
        self._path = path
        self._database = database
        self._settings = {
            "final": "1",
            "do_not_merge_across_partitions_select_final": "1",
            **limits.settings(),
            **settings,
            "readonly": "1",
        }
        self._connection: Any = None

    def __enter__(self) -> Self:
        self._connection = chdb.connect(self._path)
        try:
            quoted = self._database.replace("\\", "\\\\").replace("`", "\\`")
            self._connection.query(f"USE `{quoted}`")
            pairs = (f"{name} = '{_escaped(value)}'" for name, value in self._settings.items())
            self._connection.query(f"SET {', '.join(pairs)}")
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def query(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> Result:
        """The whole answer, no larger than the limits allow. Values are in ClickHouse's escaped text form."""
        answer = self._connection.query(sql, output_format, params=dict(parameters))
        summary = {
            "read_rows": str(answer.storage_rows_read()),
            "read_bytes": str(answer.storage_bytes_read()),
            "result_rows": str(answer.rows_read()),
            "result_bytes": str(answer.bytes_read()),
            "elapsed_ns": str(int(answer.elapsed() * 1e9)),
        }
        return Result(bytes(answer.bytes()), summary)

    def value_of(self, function: str, text: str) -> str:
        """What a function of one text says; the text travels as a parameter and is never part of a statement."""
        escaped = (
            text.replace("\\", "\\\\")
            .replace("\t", "\\t")
            .replace("\n", "\\n")
            .replace("\r", "\\r")
            .replace("\0", "\\0")
        )
        return self.query(f"SELECT {function}({{text:String}})", "RawBLOB", {"text": escaped}).body.decode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
