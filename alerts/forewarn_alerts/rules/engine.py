"""
Match: which rules hit a record. Pure and stateless, so that it can run beside any partition of the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from forewarn.conventions import Effect, RecordKind
from forewarn_alerts.errors import ExpressionFailed
from forewarn_alerts.record import CallRecord, Interest
from forewarn_alerts.rules.model import On, Rule
from forewarn_alerts.rules.variables import VARIABLES, known_values

_EFFECTS: Final = (*map(str, Effect), "")
_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Match:
    """A rule whose condition holds for a record."""

    rule: Rule
    call: CallRecord


@dataclass(frozen=True, slots=True)
class RuleError:
    """A rule that gave no answer for a record: never a hit of that rule, never silent."""

    rule: Rule
    call: CallRecord
    message: str


class RuleSet:
    """The rules of one watcher, sorted by the moment they look at."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._at_start = tuple(rule for rule in self.rules if rule.examined == "start")
        self._at_sight = tuple(rule for rule in self.rules if rule.on is On.START)
        self._at_end = tuple(rule for rule in self.rules if rule.on is On.END)
        self._awaiting = tuple(rule for rule in self.rules if rule.on is On.MISSING_END)
        self._interests: dict[tuple[str, str], Interest] = {}

    def __len__(self) -> int:
        return len(self.rules)

    def get(self, rule_id: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def interest(self, environment: str, claimed: str) -> Interest:
        """Which effects can matter at all here; asked once a request, remembered for a bounded number of answers."""
        key = (environment, claimed)
        if key not in self._interests:
            if len(self._interests) >= _REMEMBERED:  # the claim is the sender's text: it must not fill the memory
                self._interests.clear()
            self._interests[key] = Interest(
                starts=_possible(self._at_start, environment, claimed),
                ends=_possible(self._at_end, environment, claimed),
                closing=_possible(self._awaiting, environment, claimed),
            )
        return self._interests[key]

    def match(self, call: CallRecord) -> tuple[list[Match], list[RuleError]]:
        """
        Rules that hit the record, and rules that failed on it. For a `missing_end` rule a start is the hit.

        An end that is the first sight of its call is asked of `on: start` rules too.
        """
        matches: list[Match] = []
        errors: list[RuleError] = []
        rules = self._at_end if call.kind is RecordKind.END else self._at_start
        for rule in (*self._at_sight, *rules) if call.is_first_sight else rules:
            try:
                if rule.when.holds(call):
                    matches.append(Match(rule, call))
            except ExpressionFailed as error:
                errors.append(RuleError(rule, call, str(error)))
        return matches, errors


def group_key(rule: Rule, call: CallRecord) -> str:
    """What makes two hits of a rule one incident. A call without a digest is a group of its own, never swallowed."""
    return "\n".join(str(VARIABLES[name].value(call)) or _identity(name, call) for name in rule.group_by)


def _identity(name: str, call: CallRecord) -> str:
    return f"{call.trace_id}:{call.span_id}" if name == "call.digest" else ""


def _possible(rules: tuple[Rule, ...], environment: str, claimed: str) -> frozenset[str]:
    return frozenset(
        effect
        for effect in _EFFECTS
        if any(rule.when.may_hold(known_values(environment, claimed, effect)) for rule in rules)
    )
