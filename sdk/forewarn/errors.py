"""
What the SDK raises. An agent's own errors are never wrapped: they pass through as they are.

* ForewarnError
  + ConfigurationError    the developer should correct a setting or a declaration
  + Refusal               the tool was NOT run: the model should stop and say so, the operator should look
    - NotRecorded         the call could not be put on record, so it was not allowed to start
    - Refused             the call is on record, and the decision was not to let it run

The text of a refusal is for the model that made the call: what did not happen, why, what not to do, whom to tell.
"""

from __future__ import annotations


class ForewarnError(Exception):
    """Base of everything the SDK raises."""


class ConfigurationError(ForewarnError):
    """A setting or a declaration is wrong; the text names it and says what would be right."""


class Refusal(ForewarnError):
    """The tool was not run. `tool` names it; the text can be handed to the model as the tool's result."""

    def __init__(self, text: str, *, tool: str) -> None:
        super().__init__(text)
        self.tool = tool


class NotRecorded(Refusal):
    """The call could not be put on record in time, so it did not start. `reason` says what was in the way."""

    def __init__(self, *, tool: str, reason: str, remedy: str) -> None:
        super().__init__(
            f"The tool {tool} was NOT run and has changed nothing: its call could not be put on record ({reason}), "
            "and a call that may be destructive does not run unrecorded. Do not retry it, and do not do the same with "
            f"another tool. Stop, and tell the user or operator: {remedy}",
            tool=tool,
        )
        self.reason = reason
        self.remedy = remedy


class Refused(Refusal):
    """The call is on record, and the answer was not `allow`. `decision`, `rule` and `reason` are the server's words."""

    def __init__(self, *, tool: str, decision: str, rule: str | None = None, reason: str = "") -> None:
        by = f" by the rule {rule}" if rule else ""
        why = f" Reason: {reason}." if reason else ""
        super().__init__(
            f"The tool {tool} was NOT run and has changed nothing: the call was refused{by} (decision: {decision})."
            f"{why} Do not retry it, and do not do the same with another tool. Stop, and tell the user or operator "
            "that this call was refused and why you wanted to make it.",
            tool=tool,
        )
        self.decision = decision
        self.rule = rule
        self.reason = reason
