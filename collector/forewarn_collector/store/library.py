"""
The named questions: each is one SQL file in `queries/`, found by its file name.

A file begins with comment lines: what it answers, then `-- parameter NAME: meaning (default VALUE)` for each
`{NAME:Type}` of its text. A parameter without a default has to be given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from forewarn_collector.store.interface import BadQuery

_PARAMETER_LINE: Final = re.compile(r"-- parameter (\w+): (.*?)(?: \(default (.*)\))?$")
_PLACEHOLDER: Final = re.compile(r"\{(\w+):([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One blank of a question. `default`: None where it has to be given."""

    name: str
    type: str
    meaning: str
    default: str | None


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """One question."""

    name: str
    purpose: str
    parameters: tuple[Parameter, ...]
    sql: str

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value, defaults filled in; raises `BadQuery` at an unknown or a missing one."""
        known = {parameter.name: parameter for parameter in self.parameters}
        if unknown := sorted(set(given) - set(known)):
            msg = f"{self.name} has no parameter {', '.join(unknown)}; it has: {', '.join(known) or 'none'}"
            raise BadQuery(msg)
        bound = {name: given.get(name, parameter.default) for name, parameter in known.items()}
        if missing := [name for name, value in bound.items() if value is None]:
            msg = f"{self.name} needs {', '.join(missing)}: --param {missing[0]}=..."
            raise BadQuery(msg)
        return bound


@cache
def named_queries() -> Mapping[str, NamedQuery]:
    """All packaged questions by name."""
    texts = {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in files(__package__).joinpath("queries").iterdir()
        if file.name.endswith(".sql")
    }
    return {name: parse(name, text) for name, text in sorted(texts.items())}


def parse(name: str, text: str) -> NamedQuery:
    """Read one file; raises `ValueError` where header and text disagree."""
    lines = text.splitlines()
    header = [line for line in lines if line.startswith("--")]
    body = "\n".join(line for line in lines if not line.startswith("--")).strip()
    types = dict(_PLACEHOLDER.findall(body))
    described = {found[1]: found for line in header if (found := _PARAMETER_LINE.match(line))}
    if set(types) != set(described):
        msg = f"{name}.sql uses {sorted(types)} and describes {sorted(described)}"
        raise ValueError(msg)
    purpose = " ".join(line.removeprefix("--").strip() for line in header if not _PARAMETER_LINE.match(line))
    parameters = tuple(Parameter(key, types[key], found[2], found[3]) for key, found in described.items())
    return NamedQuery(name, purpose, parameters, body)
