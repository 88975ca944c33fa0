"""How commands print rows: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from forewarn_collector.store.interface import Rows
from forewarn_collector.timeline_view import plain

_WIDTH_OF_A_FILE: Final = 200


def console() -> Console:
    """Colours and the real width on a terminal; plain wide lines in a pipe."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, default=_json_value, ensure_ascii=False) + "\n")


def print_rows(rows: Rows, *, as_json: bool) -> None:
    """`as_json`: a list of objects."""
    if as_json:
        print_json(list(rows))
    elif not rows.rows:
        console().print("Nothing found.")
    else:
        console().print(_table(rows.columns, rows.rows))


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(_text(value))) for value in row))
    return table


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
        case str():
            return value
        case list() | tuple() | dict() | bytes():
            return json.dumps(value, default=_json_value, ensure_ascii=False)
        case _:
            return str(value)


def _json_value(value: Any) -> Any:
    match value:
        case datetime():
            return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
        case date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case Decimal():
            return str(value)
        case Mapping():
            return dict(value)
        case set() | frozenset() | tuple():
            return list(value)
        case _:
            return str(value)
