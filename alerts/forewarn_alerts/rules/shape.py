"""
The shape of a rule file: its keys and the type of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from forewarn_alerts.rules.durations import parse_duration
from forewarn_alerts.rules.model import On, Severity
from forewarn_collector.documents import Document, Fault, Where

LATER: Final = frozenset(
    {
        "gate",
        "count",
        "sequence",
        "first_seen",
        "rate_change",
        "sql",
        "schedule",
        "settle",
        "approvers",
        "resolve",
        "storm",
    }
)
"""Keys of the design that this version does not do. They are refused: a rule that is half obeyed is worse than none."""

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class ExampleFile(BaseModel):
    """One entry of `tests`."""

    model_config = ConfigDict(extra="forbid")

    fires: dict[str, Any] | None = None
    silent: dict[str, Any] | None = None


class RuleFile(BaseModel):
    """What may stand in a rule file."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    severity: Severity
    on: On
    when: Annotated[str, Field(min_length=1)]
    after: Duration | None = None
    group_by: Annotated[list[str], Field(min_length=1)] = ["environment", "service", "call.digest"]
    repeat_interval: Duration = timedelta(hours=1)
    notify: Annotated[list[str], Field(min_length=1)] = ["oncall"]
    summary: Line | None = None
    runbook: str = ""
    tests: list[ExampleFile] = []


def shape_faults(document: Document, error: ValidationError) -> Iterator[Fault]:
    """Say pydantic's findings in the words of rule files, each at its place."""
    for found in error.errors(include_url=False):
        where: Where = tuple(found["loc"])
        name = str(where[-1]) if where else "the file"
        match found["type"]:
            case "extra_forbidden":
                yield document.fault(where, *_unknown_key(name, where), at_key=True)
            case "missing":
                yield document.fault(where[:-1], f"`{name}` is missing", _how_to_fill(name))
            case "enum" | "literal_error":
                allowed = found.get("ctx", {}).get("expected", "")
                yield document.fault(
                    where, f"`{name}` cannot be {found['input']!r}", f"write {allowed}{_later(found['input'])}"
                )
            case "value_error":
                yield document.fault(where, f"`{name}`: {found['ctx']['error']}", "mend the value")
            case _:
                yield document.fault(where, f"`{name}`: {_said(found['msg'])}", f"found {found['input']!r}"[:200])


def _unknown_key(name: str, where: Where) -> tuple[str, str]:
    if name in LATER and len(where) == 1:
        return f"`{name}` is not done by this version", "remove it; a rule file is never obeyed in part"
    known = list(RuleFile.model_fields if len(where) == 1 else ExampleFile.model_fields)
    near = get_close_matches(name, known, n=1)
    return f"`{name}` is not a key here", f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"


def _how_to_fill(name: str) -> str:
    samples = {
        "title": "add `title: What happened, in a few words`",
        "severity": "add `severity: critical` (or error, warning, info)",
        "on": "add `on: start` (or end, missing_end)",
        "when": 'add a condition, as in `when: call.effect == "destructive"`',
    }
    return samples.get(name, f"add `{name}`")


def _later(value: object) -> str:
    return " (this version knows no other)" if value == "event" else ""


def _said(message: str) -> str:
    return message[:1].lower() + message[1:]
