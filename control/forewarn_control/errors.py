"""
What this room raises. Each carries what went wrong, what to do next, and the exit status that says so to a script.

* ControlError
  + BadSettings       wrong use: every fault of flags, environment and forewarn.toml at once
  + CannotServe       something needed cannot be had: a port, the data folder
  + RoleDied          a role of the process ended by itself; the process must not live on without it
  + DemoFailed        a step of the demo did not happen as promised
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

BAD_NEWS: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3


class ControlError(Exception):
    """What is wrong, and what to do next."""

    exit_status: ClassVar[int] = UNREACHABLE

    def __init__(self, problem: str, do: str = "") -> None:
        super().__init__(problem, do)
        self.problem = problem
        self.do = do

    def __str__(self) -> str:
        return f"{self.problem}\n  {self.do}" if self.do else self.problem


class BadSettings(ControlError):
    """The settings cannot be used; every fault is named."""

    exit_status = WRONG_USE

    def __init__(self, faults: Sequence[str], do: str) -> None:
        super().__init__("\n".join(faults), do)
        self.faults = tuple(faults)


class CannotServe(ControlError):
    """A port or the data folder cannot be had."""


class RoleDied(ControlError):
    """A role's thread ended though nobody asked it to."""

    exit_status = BAD_NEWS


class DemoFailed(ControlError):
    """The demo did not show what it promises; `problem` names the step."""

    exit_status = BAD_NEWS
