"""Whether a trace may be incomplete: which records its senders numbered meanwhile are not in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from forewarn_collector.gaps import Key
from forewarn_collector.numbers import Range

Row = Mapping[str, Any]
_NO_END = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Hole:
    """Records of one sender that are missing between the first and the last of a trace, of this trace or another."""

    sender: str
    records: int


def numbered(rows: Iterable[Row]) -> dict[Key, Range]:
    """
    From which number to which each sender recorded the trace. `rows` of the query `trace`.

    A span without an end goes on: the record of its end may have any later number.
    """
    found: dict[Key, Range] = {}
    for row in (row for row in rows if row["sequence"]):
        key = row["environment"], row["service"], row["sender"]
        first, last = row["sequence"], _NO_END if row["record"] == "start" else row["sequence"]
        known = found.get(key, Range(first, last))
        found[key] = Range(min(first, known.first), max(last, known.last))
    return found


def hole(key: Key, within: Range, missing: Iterable[Row]) -> Hole | None:
    """`missing`: rows of the query `gaps` about this sender."""
    records = sum(
        max(0, min(row["last"], within.last) - max(row["first"], within.first) + 1)
        for row in missing
        if (row["environment"], row["service"], row["sender"]) == key
    )
    return Hole(key[2], records) if records else None
