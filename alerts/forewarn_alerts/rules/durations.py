"""
Durations as people write them: `500ms`, `60s`, `5m`, `1h`, `2d`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_LONGEST: Final = timedelta(days=366)


def parse_duration(value: object) -> timedelta:
    """A duration above zero and of at most a year; `ValueError` says what to write."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a duration: write a number and a unit, as in 500ms, 60s, 5m, 1h, 2d")
    number = float(found[1])
    if not 0 < number * _UNITS[found[2]].total_seconds() <= _LONGEST.total_seconds():
        raise ValueError(f"{value!r} must be above zero and at most 366d")
    return number * _UNITS[found[2]]
