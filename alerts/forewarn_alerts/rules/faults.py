"""
Faults of rule files, each with its place and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from forewarn_alerts.errors import AlertsError
from forewarn_collector.documents import Fault


class RuleFaults(AlertsError):
    """Every fault of every rule file. None of the rules was loaded."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))
