"""
What the alerts rooms raise, named for what the caller should do.

* AlertsError
  + RuleFaults        the author of the files should mend every fault listed; nothing was loaded
  + ExpressionFaults  the same, for one expression that does not compile
  + ExpressionFailed  the rule has no answer for this record: raise `rule-error`, never take it for true or false
  + Unreadable        the sender's fault: count the record and go on, the sink buries it
  + WorkerDied        a fault of this code: a target's pages wait; end the process, a new start sends them
  + BadConfig         the operator should mend forewarn.toml or a variable and start again
"""

from __future__ import annotations


class AlertsError(Exception):
    """Base of what the alerts rooms raise."""


class ExpressionFailed(AlertsError):
    """An expression gave no boolean for a record."""


class Unreadable(AlertsError):
    """A log record is not an OTLP trace request."""


class WorkerDied(AlertsError):
    """The thread that sends to one target ended by an error that nobody expected."""


class BadConfig(AlertsError):
    """forewarn.toml or its variables cannot be used: what is wrong, and what to do."""

    def __init__(self, problem: str, do: str = "") -> None:
        super().__init__(problem, do)
        self.problem = problem
        self.do = do

    def __str__(self) -> str:
        return f"{self.problem}; {self.do}" if self.do else self.problem
