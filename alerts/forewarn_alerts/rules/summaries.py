"""
The one-line summary of a page: text with the record's names in braces, as in `{call.tool} in {environment}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from string import Formatter
from typing import Final

from forewarn_alerts.errors import AlertsError
from forewarn_alerts.record import CallRecord
from forewarn_alerts.rules.variables import VARIABLES


class SummaryFault(AlertsError):
    """The template of a summary cannot be filled."""


_NAMES_OF_AGENTS: Final = frozenset({"agent.name", "agent.path"})


@dataclass(frozen=True, slots=True)
class Summary:
    """A checked template."""

    parts: tuple[tuple[str, str], ...]
    """Literal text and the variable after it ('' for none)."""

    def of(self, call: CallRecord) -> str:
        return "".join(text + (_said(name, call) if name else "") for text, name in self.parts)


def _said(name: str, call: CallRecord) -> str:
    """A page's first line never has a hole where the agent's name would be."""
    said = str(VARIABLES[name].value(call))
    return said or (call.service or "an agent without a name" if name in _NAMES_OF_AGENTS else said)


def parse_summary(template: str) -> Summary:
    """Check a template; `SummaryFault` says what is wrong and what to write."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise SummaryFault(f"{error}; write {{{{ and }}}} for a literal brace") from error
    return Summary(tuple((text, _checked(name, form, conversion)) for text, name, form, conversion in pieces))


def _checked(name: str | None, form: str | None, conversion: str | None) -> str:
    if name is None:
        return ""
    if form or conversion:
        raise SummaryFault(f"`{name}` is followed by a format; write only {{{name}}}")
    if name not in VARIABLES:
        near = get_close_matches(name, VARIABLES, n=1)
        raise SummaryFault(
            f"`{name}` is not a name of the record; " + (f"did you mean `{near[0]}`?" if near else "see docs/rules")
        )
    if not VARIABLES[name].is_scalar:
        raise SummaryFault(f"`{name}` is a map; a summary takes single values, and the page shows the arguments anyway")
    return name
