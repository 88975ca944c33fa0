"""One finding of the doctor, and what many of them come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from forewarn_control.errors import BAD_NEWS, UNREACHABLE


class Health(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something about it will surprise somebody."""
    FAULT = "fault"
    """It does not work."""
    SKIPPED = "skipped"
    """It was not looked at; `found` says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, what was found, and what to do about it."""

    name: str
    health: Health
    found: str
    do: str = ""
    reached: bool | None = None
    """Of a check that has to reach something: whether it did."""


def ok(name: str, found: str, *, reached: bool | None = None) -> Check:
    return Check(name, Health.OK, found, "", reached)


def warning(name: str, found: str, do: str, *, reached: bool | None = None) -> Check:
    return Check(name, Health.WARNING, found, do, reached)


def fault(name: str, found: str, do: str, *, reached: bool | None = None) -> Check:
    return Check(name, Health.FAULT, found, do, reached)


def skipped(name: str, why: str, do: str = "") -> Check:
    return Check(name, Health.SKIPPED, why, do)


def exit_status(checks: Sequence[Check]) -> int:
    """0 without a fault; 3 where nothing that had to be reached was; else 1."""
    if not any(check.health is Health.FAULT for check in checks):
        return 0
    reached = [check.reached for check in checks if check.reached is not None]
    return UNREACHABLE if reached and not any(reached) else BAD_NEWS
