"""The doctor's look at this machine: installed extras and room on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from forewarn_control.doctor.check import Check, fault, ok, warning

_MARKS: Final = {
    "collector": ("clickhouse_connect", "kafka", "sqlalchemy", "uvicorn"),
    "alerts": ("httpx", "jinja2", "yaml", "slack_sdk", "cel_expr_python"),
    "control": ("starlette",),
    "local": ("chdb",),
}
"""Extra -> packages whose presence shows that it is installed."""
_LOW: Final = 2 << 30
_EMPTY: Final = 200 << 20


def extras() -> Iterator[Check]:
    """Which extras are here."""
    for extra, packages in _MARKS.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            said = f"not installed (no {', '.join(missing)})"
            yield warning(f"extra {extra}", said, f"if this machine needs it: pip install 'forewarn[{extra}]'")
        else:
            yield ok(f"extra {extra}", "installed")


def disk(folder: Path) -> Check:
    """Whether the data folder has room: a full log refuses every call that needs an acknowledgement."""
    place = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    found = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free < _EMPTY:
        return fault("disk", found, "make room, or move the data folder with --data")
    if free < _LOW:
        return warning("disk", found, "make room soon; a full disk refuses every destructive call")
    return ok("disk", found)
