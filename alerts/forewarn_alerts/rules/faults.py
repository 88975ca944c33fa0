"""
Faults of rule files, each with its place and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forewarn_alerts.errors import AlertsError


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault; line and column count from 1."""

    path: Path
    line: int
    column: int
    message: str
    do: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}; {self.do}"


class RuleFaults(AlertsError):
    """Every fault of every rule file. None of the rules was loaded."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))
