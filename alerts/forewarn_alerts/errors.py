"""
What the alerts rooms raise, named for what the caller should do.

* AlertsError
  + RuleFaults        the author of the files should mend every fault listed; nothing was loaded
  + ExpressionFaults  the same, for one expression that does not compile
  + ExpressionFailed  the rule has no answer for this record: raise `rule-error`, never take it for true or false
  + Unreadable        the sender's fault: count the record and go on, the sink buries it
  + BadConfig         the operator should mend the targets or routes and start again
"""

from __future__ import annotations


class AlertsError(Exception):
    """Base of what the alerts rooms raise."""


class ExpressionFailed(AlertsError):
    """An expression gave no boolean for a record."""


class Unreadable(AlertsError):
    """A log record is not an OTLP trace request."""


class BadConfig(AlertsError):
    """The targets or routes of the configuration do not fit together."""
