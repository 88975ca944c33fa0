"""
The console: pages on standard error, for the first minutes with Forewarn and for those who read logs.
"""

from __future__ import annotations

import sys
from typing import Final, Literal, TextIO

from pydantic import BaseModel, ConfigDict
from rich.console import Console as Terminal
from rich.text import Text

from forewarn_alerts.notify import wording
from forewarn_alerts.notify.interface import Answer, Delivered, Message, Page, Retry, TargetType
from forewarn_alerts.rules.model import Severity

_TEXT_LIMIT: Final = 600
_STYLES: Final = {
    Severity.CRITICAL: "bold white on red",
    Severity.ERROR: "bold red",
    Severity.WARNING: "bold yellow",
    Severity.INFO: "bold blue",
}
_CONTROL: Final = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")


class ConsoleConfig(BaseModel):
    """`[targets.NAME]` with `type = "console"`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["console"] = "console"


class ConsoleTarget:
    """A target that writes a block of lines for each incident; in colour on a terminal."""

    type = TargetType.CONSOLE

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self.name = name
        self._stream = stream

    def prepare(self) -> None:
        """Nothing is loaded late."""

    def render(self, page: Page, delivery: str) -> Message:
        return Message(text_of(page).encode(), {"Severity": str(page.severity), "Delivery": delivery})

    def send(self, message: Message) -> Answer:
        terminal = Terminal(file=self._stream or sys.stderr, highlight=False, soft_wrap=True)
        first, _, rest = message.body.decode().partition("\n")
        try:
            terminal.print(Text(first, style=_STYLES[Severity(message.headers["Severity"])]))
            terminal.print(Text(rest))
        except OSError as error:
            return Retry(f"standard error cannot be written: {error.strerror}")
        return Delivered("written")

    def close(self) -> None:
        """Nothing is held open."""


def text_of(page: Page) -> str:
    """The page as lines. What an agent wrote can hold escape sequences; none of them reaches the terminal."""
    lines = [
        wording.headline(page),
        f"  call              {wording.call(page, _TEXT_LIMIT)}",
        f"  why               {wording.reasoning(page, _TEXT_LIMIT)}",
    ]
    if page.note:
        lines.append(f"  note              {page.note}")
    lines += [f"  {label:<17} {text}" for label, text in wording.facts(page)]
    lines += [f"  {'do' if i == 0 else '':<17} {step}" for i, step in enumerate(wording.next_steps(page))]
    return "\n".join(line.replace("\n", " ").translate(_CONTROL) for line in lines)
