"""
forewarn.toml as the rooms above the SDK read it: its keys, its paths, and what a misspelt key was meant to be.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from forewarn_alerts.errors import BadConfig

CONFIG_NAME: Final = "forewarn.toml"
_LIKELY: Final = 0.6
_SURELY: Final = 0.8
"""So alike that it can only be a slip: `rule` and `rules`."""


def read_config(file: Path) -> dict[str, Any]:
    """Every key of the file, whoever it is for; `rules` are relative to the file, and so mean the same anywhere."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{file}: cannot be read: {error.strerror}", "check the path given with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{file}: not TOML: {error}", "mend that line; the format is https://toml.io") from error
    if "rules" in values:
        try:
            values["rules"] = relative_to(file.parent, split_paths(values["rules"]))
        except ValueError as error:
            raise BadConfig(f"{file}: rules: {error}", 'write it as a list: rules = ["./rules"]') from error
    return values


def split_paths(value: object) -> object:
    """One text may name several folders: as PATH does, or as a list in JSON."""
    if not isinstance(value, str):
        return value
    if not value.startswith("["):
        return [part for part in value.split(os.pathsep) if part]
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"begins like a list in JSON and is none: {error}") from None


def relative_to(folder: Path, value: object) -> object:
    """A path, or each of a list; what is neither is left for whoever checks the types."""
    if isinstance(value, str):
        return str(folder / Path(value).expanduser())
    if isinstance(value, list):
        return [relative_to(folder, one) for one in value]
    return value


def nearest(name: str, known: Collection[str], *, alike: float = _LIKELY) -> str:
    """The known name that is most like it, or ''."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=alike)), "")


def misspelt(values: Collection[str], mine: Collection[str], *, others: Collection[str] = ()) -> dict[str, str]:
    """
    Keys of the file that were surely meant to be one of mine -> that one.

    The file is shared, and I do not know everybody's keys: what is not like one of mine may well be right.
    """
    strange = [name for name in values if name not in mine and name not in others]
    return {name: near for name in strange if (near := nearest(name, mine, alike=_SURELY))}
