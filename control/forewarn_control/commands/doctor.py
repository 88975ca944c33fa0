"""`forewarn doctor`: what is configured, what is reachable, what is wrong, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forewarn_control.commands.options import Config, Data, Json
from forewarn_control.commands.reporting import reported

if TYPE_CHECKING:
    from forewarn_control.doctor.check import Check
    from forewarn_control.doctor.examination import Setting

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_STYLES: Final = {"ok": "green", "warning": "yellow", "fault": "bold red", "skipped": "dim"}


@app.command()
def doctor(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """
    Say what is wrong, and how to mend it. Nobody is paged, nothing is recorded.

    Exit status 0: no fault; 1: a fault; 3: a fault, and nothing could be reached.

    Example: [bold]forewarn doctor --data ./data[/bold]
    """
    from forewarn_control.doctor.check import exit_status

    with reported():
        settings, checks = _examined(data, config)
    if as_json:
        described = [{**asdict(check), "health": check.health.value} for check in checks]
        typer.echo(json.dumps({"settings": [asdict(setting) for setting in settings], "checks": described}, indent=2))
    else:
        _print(settings, checks)
    raise typer.Exit(exit_status(checks))


def _examined(data: Path | None, config: Path | None) -> tuple[list[Setting], list[Check]]:
    """All of it; on a machine that only runs agents, what can be seen with an agent's packages."""
    try:
        from forewarn_control.doctor.examination import examine, settings_in_force
        from forewarn_control.settings import load
    except ModuleNotFoundError as missing:
        from forewarn_control.doctor.agent import agent
        from forewarn_control.doctor.check import skipped
        from forewarn_control.doctor.machine import extras

        why = f"no package {missing.name}: this installation can run agents, and serves nothing"
        return [], [*extras(), skipped("serving side", why), *agent()]
    loaded = load({"data": data}, config=config)
    return settings_in_force(loaded), list(examine(loaded))


def _print(settings: Sequence[Setting], checks: Sequence[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for setting in settings:
        if setting.origin != "default":
            table.add_row(setting.name, Text(setting.value), Text(setting.origin, style="dim"))
    if table.row_count:
        console.print(Text("Settings that are not defaults", style="bold"))
        console.print(table)
        console.print()
    for check in checks:
        style = _STYLES[check.health.value]
        console.print(Text.assemble((f"{check.health.value:<8} ", style), (f"{check.name:<16} ", "bold"), check.found))
        if check.do:
            console.print(Text(f"{'':<26}-> {check.do}", style=style))
