"""
Conditions of rules: CEL, compiled and type-checked when a rule is loaded, behind our own interface.

What surprises: cel-expr-python returns most runtime errors as a value that is *truthy*, and raises some. Only a value
whose CEL type is BOOL counts here; everything else is `ExpressionFailed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from forewarn_alerts.errors import AlertsError, ExpressionFailed
from forewarn_alerts.record import CallRecord
from forewarn_alerts.rules.variables import VARIABLES, Kind, values_of

_FAULT: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_WORD: Final = re.compile(r"[A-Za-z_][\w.]*")
_TYPES: Final = {
    Kind.TEXT: cel.Type.STRING,
    Kind.NUMBER: cel.Type.INT,
    Kind.FLAG: cel.Type.BOOL,
    Kind.TEXT_MAP: cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    Kind.JSON_MAP: cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}


@dataclass(frozen=True, slots=True)
class ExpressionFault:
    """One fault of an expression; line and column count from 1 within its text."""

    line: int
    column: int
    message: str
    do: str


class ExpressionFaults(AlertsError):
    """The expression does not compile or is not a condition."""

    def __init__(self, faults: list[ExpressionFault]) -> None:
        super().__init__("; ".join(f"{fault.message}; {fault.do}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled condition."""

    text: str
    variables: frozenset[str]
    """Every variable it may look at."""
    _program: Any

    def holds(self, call: CallRecord) -> bool:
        """Whether it is true of the call; `ExpressionFailed` when it is neither true nor false."""
        try:
            return self._evaluate(values_of(call, self.variables))
        except RuntimeError as error:
            raise ExpressionFailed(_first_line(str(error))) from error

    def may_hold(self, known: Mapping[str, object]) -> bool:
        """
        Whether some values of the other variables could make it true, or fail.

        CEL absorbs an error by a decided `&&` or `||`: what is false with the other variables missing is false whatever
        they are.
        """
        try:
            return self._evaluate({name: value for name, value in known.items() if name in self.variables})
        except (ExpressionFailed, RuntimeError):
            return True

    def _evaluate(self, values: Mapping[str, object]) -> bool:
        value = self._program.eval(data=values)
        if value.type() != cel.Type.BOOL:
            raise ExpressionFailed(_first_line(str(value.value())))
        return bool(value.value())


def compile_expression(text: str) -> Expression:
    """Compile a condition, or raise every fault the compiler finds."""
    try:
        program = _environment().compile(text)
    except RuntimeError as error:
        raise ExpressionFaults(_faults(str(error))) from error
    if program.return_type() != cel.Type.BOOL:
        found = program.return_type().name().lower()
        raise ExpressionFaults(
            [ExpressionFault(1, 1, f"this is of type {found}, not bool", "compare it: `... == true`")]
        )
    return Expression(text, _mentioned(text), program)


@cache
def _environment() -> Any:
    return cel.NewEnv(variables={name: _TYPES[variable.kind] for name, variable in VARIABLES.items()})


def _mentioned(text: str) -> frozenset[str]:
    """Variables named in the text; one too many (a name inside a string) costs a lookup and nothing else."""
    words = _WORD.findall(re.sub(r"\s*\.\s*", ".", text))
    return frozenset(name for name in VARIABLES if any(word == name or word.startswith(f"{name}.") for word in words))


def _faults(message: str) -> list[ExpressionFault]:
    found = [
        ExpressionFault(int(line), int(column), *_explained(what)) for line, column, what in _FAULT.findall(message)
    ]
    return found or [ExpressionFault(1, 1, _first_line(message), "see docs/rules for the names and types of a record")]


def _explained(what: str) -> tuple[str, str]:
    what = what.removesuffix(" [INVALID_ARGUMENT]").replace(" (in container '')", "")
    if undeclared := _UNDECLARED.search(what):
        name = undeclared[1]
        near = get_close_matches(name, VARIABLES, n=1)
        do = f"did you mean `{near[0]}`?" if near else f"known names: {', '.join(VARIABLES)}"
        return f"`{name}` is not a name of the record", do
    if "no matching overload" in what:
        return what, "compare values of the same type; text is written in quotes"
    return what, "mend the expression; CEL is described at https://cel.dev"


def _first_line(message: str) -> str:
    return message.partition("\n")[0]
