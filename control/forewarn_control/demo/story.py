"""The demo as a person reads it while it happens: one line a step, then the pages, the timeline and the times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from forewarn_control.demo.report import Report

_AGENT_STYLES: Final = {"refused": "bold red", "tool_runs": "bold red", "reasons": "italic", "done": "dim"}
_MS: Final = 1_000_000
_NAMES: Final = {"pagerduty": "PagerDuty", "slack": "Slack"}


class Story:
    """Writes to one console; a quiet console makes it silent."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._called: Mapping[str, Any] | None = None
        """A call that the agent made and whose result is not known yet."""

    def chapter(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold cyan"))

    def fact(self, name: str, value: str) -> None:
        self._line(Text(f"  {name:<22}", "dim"), Text(value))

    def agent(self, event: Mapping[str, Any]) -> None:
        """One step that the agent's process told of. A call that returns at once is one line with its result."""
        if event["event"] == "calls":
            self._called = event
            return
        said = _SPOKEN[event["event"]](event)
        if self._called and event["event"] == "returned":
            said = f"{_SPOKEN['calls'](self._called)} {said}"
            self._called = None
        self._tell_call()
        self._say(event, said)

    def recorder(self, at_ns: int, said: str) -> None:
        """One step of the pipeline."""
        self._tell_call()
        when = Text.assemble((f"  {clock(at_ns)}  ", "dim"), ("forewarn ", "bold green"))
        self._line(when, Text(said, "green"))

    def show(self, renderable: RenderableType) -> None:
        self._console.print(renderable)

    def times(self, report: Report) -> None:
        """How long each step took, counted from the record, which the log stamps right before it is durable."""
        start = report.recorded_at_ns
        steps = {
            "record appended to the log": start,
            "acknowledged as durable": report.acknowledged_at_ns,
            "first line of the tool ran": report.tool_started_at_ns,
            **{f"page at {_NAMES[name]} (local)": at for name, at in report.page_received_at_ns.items()},
            "tool returned": report.tool_ended_at_ns,
            "finished call read from the store": report.stored_at_ns,
        }
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True, style="bold")
        for step, at_ns in sorted(steps.items(), key=lambda item: item[1]):
            table.add_row(Text(step), Text(clock(at_ns), style="dim"), Text(f"+{(at_ns - start) / _MS:.1f} ms"))
        self._console.print(table)

    def damage(self, report: Report) -> None:
        """What the database holds now."""
        for table, rows in report.rows.items():
            lost = rows["before"] - rows["after"]
            self.fact(
                table, f"{rows['before']:>6,} rows -> {rows['after']:,}" + (f"   ({lost:,} gone)" if lost else "")
            )

    def end(self) -> None:
        """What to do next."""
        self._console.print()
        self.fact("look around in it", "forewarn demo --stay")
        self.fact("watch your own agent", "forewarn serve")

    def _tell_call(self) -> None:
        if self._called:
            self._say(self._called, _SPOKEN["calls"](self._called))
            self._called = None

    def _say(self, event: Mapping[str, Any], said: str) -> None:
        who, style = str(event.get("agent", "")), _AGENT_STYLES.get(event["event"], "")
        when = Text.assemble((f"  {clock(event['at_ns'])}  ", "dim"), (f"{who:<8} ", "cyan"))
        self._line(when, Text(said, style))

    def _line(self, head: Text, said: Text) -> None:
        """What is too long goes on below itself, not below its head."""
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(head, said)
        self._console.print(grid)


def clock(at_ns: int) -> str:
    """Local time of day, to the millisecond."""
    return datetime.fromtimestamp(at_ns / 1e9).astimezone().strftime("%H:%M:%S.%f")[:-3]


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """`drop_table(name="customers", cascade=true)`."""
    return f"{tool}({', '.join(f'{name}={json.dumps(value)}' for name, value in arguments.items())})"


_SPOKEN: Final = {
    "task": lambda event: f'is told: "{event["text"]}"   model: {event["model"]}',
    "reasons": lambda event: f"reasons: {event['text']}",
    "calls": lambda event: f"calls {call_text(event['tool'], event['arguments'])}",
    "tool_runs": lambda event: f"{event['tool']} RUNS NOW",
    "returned": lambda event: f"-> {json.dumps(event['value'])}",
    "refused": lambda event: f"{event['tool']} was refused: {event['text']}",
    "done": lambda event: f"is done: {event['text']}",
}
