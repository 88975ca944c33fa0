"""
Decides whether a stranger's statement may run: it only reads, and only from this store.

The engine's own parser is asked what the text means (`parseQueryToJSON`), so that comments, case, nesting and quoting
cannot hide anything; the text itself travels as a parameter. `readonly=1` refuses most of what is refused here, not
all: with it chDB still writes `INTO OUTFILE`, reads any file through the scalar function `file`, kills queries, and
creates the database file that a table function names before it says no.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Ask = Callable[[str, str], str]
"""Runs `SELECT <function>({text:String})` and returns the one value; raises the engine's error."""

_STATEMENTS: Final = {
    "SelectWithUnionQuery",
    "SelectIntersectExceptQuery",
    "SelectQuery",
    "ExplainQuery",
    "ShowTablesQuery",
    "ShowColumnsQuery",
    "ShowIndexesQuery",
}
_TABLE_FUNCTIONS: Final = {
    "generate_series",
    "generaterandom",
    "generateseries",
    "merge",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "values",
    "view",
    "zeros",
    "zeros_mt",
}
# Scalar functions that reach outside the store or only hold a thread: files, model services, the server's log and keys.
_FUNCTIONS: Final = re.compile(
    r"file|catboostevaluate|showcertificate|logtrace|sleep|sleepeachrow|reversednsquery|addressto\w+|ai[a-z]*",
    re.IGNORECASE,
)
_NAME: Final = r"(?:`[\w -]*`|\w+)"
"""Of a table or database. With a slash or a dot in it the engine would take it for a file of the machine."""
_BY_NAME: Final = re.compile(
    rf"(?:DESCRIBE TABLE|EXISTS (?:TABLE|VIEW|DATABASE)|SHOW CREATE (?:TABLE|VIEW|DATABASE)) {_NAME}(?:\.{_NAME})?"
    r"(?: FORMAT (\w+))?"
)
_NO_JSON: Final = re.compile(r"does not support JSON serialization")


class Refused(Exception):
    """The statement would do more than read this store."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that may run. `output_format`: the one its text names, or ''."""

    text: str
    output_format: str = ""


def admit(text: str, ask: Ask) -> Statement:
    """Return the statement, or raise `Refused`; the engine's own complaint about the text passes through."""
    try:
        tree = json.loads(ask("parseQueryToJSON", text))
    except RuntimeError as fault:
        if not _NO_JSON.search(str(fault)):
            raise
        return _by_name(text, ask("formatQuerySingleLine", text))
    if tree.get("type") not in _STATEMENTS:
        raise Refused(f"{tree.get('type', 'this statement')} is not a question")
    for node in _nodes(tree):
        _check(node)
    return Statement(text, (tree.get("format_ast") or {}).get("name", ""))


def _by_name(text: str, canonical: str) -> Statement:
    """Statements that the parser cannot hand out as JSON: those that only name a table or database are plain enough."""
    found = _BY_NAME.fullmatch(canonical)
    if not found:
        raise Refused("only SELECT, EXPLAIN, SHOW, DESCRIBE and EXISTS are answered here")
    return Statement(text, found[1] or "")


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _check(node: Mapping[str, Any]) -> None:
    if node.get("out_file"):
        raise Refused("INTO OUTFILE writes a file of the server")
    table_function = node.get("table_function")
    if table_function and table_function.get("name", "").lower() not in _TABLE_FUNCTIONS:
        raise Refused(f"the table function {table_function.get('name')} reaches outside the store")
    name = node.get("func_name") or (node.get("name") if node.get("type") == "Function" else None)
    if isinstance(name, str) and _FUNCTIONS.fullmatch(name.rpartition(".")[2]):
        raise Refused(f"the function {name} reaches outside the store")
