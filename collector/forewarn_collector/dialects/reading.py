"""
What a span says, in the words of the conventions, whatever dialect it speaks: the Python side of the tables.

The store's view does the same to the bytes of large batches; tests hold both to the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from forewarn.conventions import OPERATION_EXECUTE_TOOL, OPERATION_NAME, TOOL_NAME
from forewarn_collector.dialects.columns import OF_CALLS, conventional, kinds_of
from forewarn_collector.dialects.table import OWN_SCOPE, SPAN_NAME_PREFIX, Dialect, dialects

_LETTERS: Final = {"string_value": "s", "int_value": "i", "array_value": "a", "kvlist_value": "k"}
_SPAN_ID: Final = re.compile("[0-9a-f]{16}")
_BY_TELLTALE: Final = {name: dialect for dialect in reversed(dialects()) for name in dialect.telltales}
_BY_PREFIX: Final = {dialect.name_prefix: dialect for dialect in dialects() if dialect.name_prefix}


@dataclass(frozen=True, slots=True)
class Reading:
    """A span's attributes under the names of the conventions, and what follows from them."""

    said: Mapping[str, AnyValue]
    operation: str
    tool: str
    pending_parent: str
    """On a span that stands for the beginning of its parent: the id of that one's parent, 16 hex digits. Else ''."""

    @property
    def is_call(self) -> bool:
        return self.operation == OPERATION_EXECUTE_TOOL

    def text(self, name: str) -> str:
        """What it says under a name of the conventions; '' where that is no string."""
        return text(self.said, name)


def read_span(name: str, attributes: Mapping[str, AnyValue], *, scope: str) -> Reading:
    """Read a span by its name, its attributes and the name of its scope."""
    dialect = None if scope == OWN_SCOPE else _dialect(name, attributes)
    operation = text(attributes, OPERATION_NAME)
    said, pending_parent = attributes, ""
    if dialect is not None:
        operation = operation or dialect.operations.get(text(attributes, dialect.kind) if dialect.kind else name, "")
        call = operation == OPERATION_EXECUTE_TOOL or (not operation and name.startswith(SPAN_NAME_PREFIX))
        said = _translated(attributes, dialect, call=call)
        pending_parent = text(attributes, dialect.pending_parent) if dialect.pending_parent else ""
    tool = text(said, TOOL_NAME)
    named = name.startswith(SPAN_NAME_PREFIX)
    operation = operation or (OPERATION_EXECUTE_TOOL if named or tool else "")
    if not tool and operation == OPERATION_EXECUTE_TOOL:
        tool = name.removeprefix(SPAN_NAME_PREFIX) if named or dialect else ""
    return Reading(said, operation, tool, pending_parent if _SPAN_ID.fullmatch(pending_parent) else "")


def text(attributes: Mapping[str, AnyValue], name: str) -> str:
    """An attribute's string; '' where it is none."""
    value = attributes.get(name)
    return value.string_value if value is not None else ""


def _dialect(name: str, attributes: Mapping[str, AnyValue]) -> Dialect | None:
    """The first that the span looks like."""
    found = [_BY_TELLTALE[key] for key in _BY_TELLTALE.keys() & attributes.keys()]
    found += [dialect for prefix, dialect in _BY_PREFIX.items() if name.startswith(prefix)]
    return min(found, key=lambda dialect: dialect.order, default=None)


def _translated(attributes: Mapping[str, AnyValue], dialect: Dialect, *, call: bool) -> Mapping[str, AnyValue]:
    """The first usable name for each column that has none of the conventions' own; the rest keep theirs."""
    renamed: dict[str, str] = {}
    for alias in dialect.aliases:
        name = conventional(alias.column)
        wanted = name not in attributes and name not in renamed.values() and (call or alias.column not in OF_CALLS)
        if wanted and alias.name in attributes and _fits(attributes[alias.name], alias.column):
            renamed[alias.name] = name
    return {renamed.get(name, name): value for name, value in attributes.items()} if renamed else attributes


def _fits(value: AnyValue, column: str) -> bool:
    letter = _LETTERS.get(value.WhichOneof("value") or "", "")
    return letter != "" and letter in kinds_of(column) and value.int_value >= 0
