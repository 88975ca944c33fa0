"""
The tables of dialects: which attribute names other instrumentations use for what the columns of `spans` hold.

One TOML file per dialect in `tables/`. The view that unfolds requests (`sql`), the reading of spans in Python
(`reading`) and the watcher's are all made from them, so that they cannot disagree.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from forewarn.conventions import OPERATION_EXECUTE_TOOL, TOOL_NAME
from forewarn_collector.dialects.columns import OF_CALLS, OF_SPANS

SPAN_NAME_PREFIX: Final = f"{OPERATION_EXECUTE_TOOL} "
"""What the conventions have in front of the tool in the name of a call's span."""
OWN_SCOPE: Final = "forewarn"
"""The scope of our own SDK's spans: they are read as they are."""
_KEYS: Final = {
    "title",
    "order",
    "telltales",
    "name_prefix",
    "kind",
    "pending_parent",
    "operations",
    "columns",
    "thoughts",
}


@dataclass(frozen=True, slots=True)
class Alias:
    """One name that a dialect has for what belongs into a column."""

    name: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoughts:
    """Where the span of a model's answer tells what it thought: as a part of messages in JSON, or in attributes."""

    kinds: tuple[str, ...]
    """What says that something was thought, not said."""
    messages: str = ""
    """The attribute with a list of messages, each a list of `parts` with `type` and `content`."""
    begins: str = ""
    """Or how the names of such attributes begin, ..."""
    kind_ends: str = ""
    """... how that of one which says the kind ends, ..."""
    text_ends: str = ""
    """... and what stands there instead in the name of the one with the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one family of instrumentations speaks."""

    name: str
    title: str
    order: int
    """A span is of the first dialect that it looks like."""
    telltales: tuple[str, ...] = ()
    """Attributes any of which makes a span one of this dialect."""
    name_prefix: str = ""
    """Or how the names of its spans begin."""
    kind: str = ""
    """The attribute that says what a span does; '': the span's name says it."""
    operations: Mapping[str, str] = field(default_factory=dict)
    """What that says -> operation of the conventions; `execute_tool` is what makes a span a call of a tool."""
    pending_parent: str = ""
    """On a start record in the shape of a finished span: the parent of the span that has begun."""
    aliases: tuple[Alias, ...] = ()
    """All other names, those for one column together and in order of preference."""
    thoughts: Thoughts | None = None
    """Looked for in every span of a model's answer: these shapes are used across dialects."""


@cache
def dialects() -> tuple[Dialect, ...]:
    """All that are known, in the order in which a span is compared with them."""
    found = [
        _dialect(file.name.removesuffix(".toml"), tomllib.loads(file.read_text(encoding="utf-8")))
        for file in files(__package__).joinpath("tables").iterdir()
        if file.name.endswith(".toml")
    ]
    return tuple(sorted(found, key=lambda dialect: dialect.order))


def signs_of_calls() -> frozenset[str]:
    """Texts of which a request holds at least one if any of its spans is a call of a tool."""
    words = {
        sign
        for dialect in dialects()
        for word, operation in dialect.operations.items()
        if operation == OPERATION_EXECUTE_TOOL
        for sign in (dialect.telltales or (word,))
    }
    return frozenset({OPERATION_EXECUTE_TOOL, TOOL_NAME, *words})


def _dialect(name: str, table: dict[str, Any]) -> Dialect:
    if strange := table.keys() - _KEYS:
        msg = f"dialect {name}: what is {', '.join(sorted(strange))}?"
        raise ValueError(msg)
    return Dialect(
        name=name,
        title=table["title"],
        order=table["order"],
        telltales=tuple(table.get("telltales", ())),
        name_prefix=table.get("name_prefix", ""),
        kind=table.get("kind", ""),
        operations=table.get("operations", {}),
        pending_parent=table.get("pending_parent", ""),
        aliases=_aliases(name, table.get("columns", {})),
        thoughts=_thoughts(table["thoughts"]) if "thoughts" in table else None,
    )


def _thoughts(table: Mapping[str, Any]) -> Thoughts:
    return Thoughts(**{**table, "kinds": tuple(table["kinds"])})


def _aliases(dialect: str, columns: Mapping[str, list[str]]) -> tuple[Alias, ...]:
    if strange := columns.keys() - {*OF_CALLS, *OF_SPANS}:
        msg = f"dialect {dialect}: no dialect has a name for {', '.join(sorted(strange))}"
        raise ValueError(msg)
    found = tuple(Alias(name, column) for column in columns for name in columns[column])
    if len({alias.name for alias in found}) < len(found):
        msg = f"dialect {dialect}: one attribute cannot fill two columns"
        raise ValueError(msg)
    return found
