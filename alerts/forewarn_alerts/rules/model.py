"""
A rule: which record of a call is worth waking someone for, and how to say it.

A rule is data and never changes; what it has seen lives in the state database (`incidents.py`, `open_calls.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from forewarn_alerts.record import CallRecord
from forewarn_alerts.rules.expressions import Expression
from forewarn_alerts.rules.summaries import Summary

RULE_ERROR: Final = "rule-error"
"""The built-in rule that speaks up for a rule that could not be evaluated."""


class Severity(StrEnum):
    """PagerDuty's four, worst first."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class On(StrEnum):
    """Which moment of a call a rule looks at."""

    START = "start"
    END = "end"
    MISSING_END = "missing_end"
    """The call started and, `after` later, no end was on record."""


@dataclass(frozen=True, slots=True)
class Example:
    """A test inside a rule file: a call, and whether the rule must fire for it."""

    call: CallRecord
    fires: bool
    ended: bool = False
    """For `missing_end`: the call ended in time."""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule file, checked and compiled."""

    id: str
    """The file's name without its ending."""
    title: str
    severity: Severity
    on: On
    when: Expression
    after: timedelta = timedelta(0)
    group_by: tuple[str, ...] = ("environment", "service", "call.digest")
    repeat_interval: timedelta = timedelta(hours=1)
    """An identical hit this long after its incident was opened opens another, and pages again."""
    notify: tuple[str, ...] = ("oncall",)
    """Names of routes."""
    summary: Summary | None = None
    runbook: str = ""
    tests: tuple[Example, ...] = ()
    source: Path = Path()
    shipped: bool = False

    @property
    def examined(self) -> str:
        """Which kind of record `when` is evaluated on: `start` or `end`."""
        return "end" if self.on is On.END else "start"
