"""`forewarn demo`: the incident of this field, end to end, on this machine."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.console import Console

from forewarn_control.commands.options import Json
from forewarn_control.commands.reporting import reported

if TYPE_CHECKING:
    from forewarn_control.demo.report import Report
    from forewarn_control.demo.stage import Stage

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_PAUSE_S: Final = 0.35
"""How long the scripted model thinks where a person is watching."""
_NARROWEST: Final = 140
"""Columns where there is no terminal to ask."""


@app.command()
def demo(
    *,
    stay: Annotated[bool, typer.Option("--stay", help="Keep it up at the end, until Ctrl-C, to look around.")] = False,
    as_json: Json = False,
) -> None:
    """
    See an agent drop a production table: on record before it runs, paged within milliseconds, readable afterwards.

    The pipeline, the database and the agent's process are real; the agent's model is a script; the services that are
    paged are local stand-ins. It needs no network, pages nobody, and removes what it made.

    Example: [bold]forewarn demo --stay[/bold]
    """
    _end_on_sigterm()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(threadName)s %(message)s")
    with reported():
        from forewarn_control.demo.run import play
        from forewarn_control.demo.story import Story

        console = Console(quiet=as_json, highlight=False)
        if not console.is_terminal:
            console = Console(quiet=as_json, highlight=False, width=max(console.width, _NARROWEST))
        pause_s = _PAUSE_S if console.is_terminal and not as_json else 0.0

        def at_the_end(scene: Stage, report: Report) -> None:
            if as_json:
                typer.echo(json.dumps(report.as_json()))
            if stay:
                _stay(scene)
            else:
                story.end()

        story = Story(console)
        play(story, pause_s=pause_s, at_the_end=at_the_end)


def _stay(scene: Stage) -> None:
    """On standard error, so that it is seen beside `--json`, too."""
    endpoints, reader = scene.serving.endpoints, scene.serving.endpoints.reader
    calls = f"{endpoints.store}/?query=SELECT+name,effect,outcome+FROM+spans"
    until_interrupted = threading.Event()
    try:
        typer.echo(
            f"\nStill up, until Ctrl-C. Look around from another terminal:\n\n"
            f"  forewarn traces list --data {scene.house.data}\n"
            f"  curl -u {reader.user}:{reader.password} '{calls}'\n"
            f"  curl {endpoints.http}/metrics\n",
            err=True,
        )
        until_interrupted.wait()
    except KeyboardInterrupt:
        typer.echo("stopping", err=True)


def _end_on_sigterm() -> None:
    """End as on Ctrl-C: everything is closed and removed."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
