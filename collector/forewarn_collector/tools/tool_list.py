"""
The tool list: what tools of other instrumentations do to the world, by the names that their spans give them.

The first entry that fits a call counts. The same entries are asked in Python (`ToolList.effect`) and in the store's own
decoding (`ToolList.sql`); a pattern is one expression of RE2 in both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Final

import re2  # type: ignore[import-untyped]  # it has no stubs

from forewarn.conventions import ENVIRONMENT_ALIASES, Effect, EffectSource, environment_name
from forewarn_collector.store.quoting import quoted

RANKED: Final = {
    effect: f"{rank}{effect}" for rank, effect in enumerate(("read", "write", "unknown", "destructive"), 1)
}
"""Effects from harmless to grave, each with its rank in front so that they compare as texts."""
_UNDECLARED: Final = "0"
_REMEMBERED: Final = 4096


def expression(globs: Iterable[str]) -> str:
    """One RE2 expression for whole names: `*` is any run of characters, `?` is one, everything else is itself."""
    parts = ("".join(".*" if c == "*" else "." if c == "?" else re2.escape(c) for c in glob) for glob in globs)
    return f"(?s)^(?:{'|'.join(parts)})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Tools of which the same is known. No services or environments: all of them."""

    tools: tuple[str, ...]
    """Globs."""
    effect: Effect
    services: tuple[str, ...] = ()
    """Globs."""
    environments: tuple[str, ...] = ()
    """Well-known names, compared with the environment of the ingest key."""
    line: int = 0
    """Where in the file it stands."""

    @property
    def scope(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.services, self.environments


@dataclass(frozen=True)
class ToolList:
    """The entries in the order of the file."""

    entries: tuple[Entry, ...] = ()
    _known: dict[tuple[str, str, str], Entry | None] = field(default_factory=dict, repr=False, compare=False)

    def entry(self, tool: str, *, service: str, environment: str) -> Entry | None:
        """The first entry that fits, if any does; a bounded number of answers is remembered."""
        key = (tool, service, environment)
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:  # names are the sender's text: they must not fill the memory
                self._known.clear()
            where = environment_name(environment)
            self._known[key] = next((entry for entry, fits in self._tests if fits(tool, service, where)), None)
        return self._known[key]

    def effect(self, tool: str, *, service: str, environment: str) -> Effect | None:
        found = self.entry(tool, service=service, environment=environment)
        return found.effect if found else None

    def sql(self) -> str:
        """The effect with its rank, given the columns `tool`, `service` and `environment`; '' where no entry fits."""
        branches = []
        for (scope, effect), same in groupby(self.entries, key=lambda entry: (entry.scope, entry.effect)):
            tests = [_match("tool", [glob for entry in same for glob in entry.tools]), *_scope_sql(*scope)]
            branches += [" AND ".join(tests), quoted(RANKED[effect])]
        return f"multiIf({', '.join([*branches, quoted('')])})" if branches else "''"

    @cached_property
    def _tests(self) -> list[tuple[Entry, _Test]]:
        return [(entry, _Test(entry)) for entry in self.entries]


class _Test:
    """Whether a call is one of an entry's; the expressions are compiled once."""

    def __init__(self, entry: Entry) -> None:
        self._tools = re2.compile(expression(entry.tools))
        self._services = re2.compile(expression(entry.services)) if entry.services else None
        self._environments = frozenset(entry.environments)

    def __call__(self, tool: str, service: str, environment: str) -> bool:
        return (
            self._tools.search(tool) is not None
            and (self._services is None or self._services.search(service) is not None)
            and (not self._environments or environment in self._environments)
        )


def _match(column: str, globs: Iterable[str]) -> str:
    return f"match(toLowCardinality({column}), {quoted(expression(globs))})"


def _scope_sql(services: tuple[str, ...], environments: tuple[str, ...]) -> list[str]:
    names = [name for known in environments for name in (known, *_aliases(known))]
    return [
        *([_match("service", services)] if services else []),
        *([f"lower(environment) IN ({', '.join(map(quoted, names))})"] if names else []),
    ]


def _aliases(environment: str) -> list[str]:
    return [alias for alias, name in ENVIRONMENT_ALIASES.items() if name == environment]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The effect of a call, and who says so."""

    effect: str
    source: str
    is_corrected: bool = False
    """Whether it is another than what the sender says."""


def verdict(listed: Effect | None, *, effect: str, source: str) -> Verdict:
    """
    The graver of what the sender declares and what the list says; `unknown` where neither knows.

    A sender's own `undeclared` is nothing that it declares: any entry of the list is better.
    """
    undeclared = effect == Effect.UNKNOWN and source == EffectSource.UNDECLARED
    declared = _UNDECLARED if undeclared else RANKED.get(effect, "")
    if listed is not None and RANKED[listed] > declared:
        return Verdict(str(listed), str(EffectSource.TOOL_LIST), is_corrected=True)
    return (
        Verdict(effect, source)
        if declared
        else Verdict(str(Effect.UNKNOWN), str(EffectSource.UNDECLARED), is_corrected=True)
    )
