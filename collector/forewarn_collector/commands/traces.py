"""`forewarn traces`: which traces there are, and one of them as a timeline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import typer

from forewarn_collector.commands.connection import BAD_NEWS, WRONG_USE, AsJson, asks, end
from forewarn_collector.commands.output import console, print_json, print_rows
from forewarn_collector.holes import Hole, hole, numbered
from forewarn_collector.store.interface import Rows
from forewarn_collector.store.reader import Reader
from forewarn_collector.timeline import Timeline, as_json, timeline
from forewarn_collector.timeline_view import timeline_view

app = typer.Typer(
    help="List traces; show one as a timeline.", no_args_is_help=True, rich_markup_mode="rich", add_completion=False
)

_PERIOD: Final = re.compile(r"(\d+)\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PREFIX: Final = re.compile(r"[0-9a-f]{1,32}")
_LONGEST_PERIOD: Final = (1 << 32) - 1
_EVER: Final = 50 * 366 * 86_400


@app.command("list")
@asks
def list_traces(  # noqa: PLR0913 - each is an option of the command line
    asked: Reader,
    *,
    since: Annotated[str, typer.Option(help="How far back: 90s, 15m, 1h, 7d, 2w.")] = "24h",
    destructive: Annotated[
        bool, typer.Option("--destructive", help="Only with a destructive or unknown call.")
    ] = False,
    environment: Annotated[str, typer.Option(help="Only this verified environment.")] = "",
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    agent: Annotated[str, typer.Option(help="Only with this agent, also as part of a path.")] = "",
    tool: Annotated[str, typer.Option(help="Only with a call of this tool.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 50,
    json_: AsJson = False,
) -> None:
    """
    List the latest traces, newest first: who ran, how many calls, and what of it is bad.

    Example: [bold]forewarn traces list --destructive --since 1h[/bold]
    """
    rows = asked.run(
        "traces",
        since=seconds(since),
        destructive=int(destructive),
        environment=environment,
        service=service,
        agent=agent,
        tool=tool,
        limit=limit,
    )
    print_rows(rows, as_json=json_)


@app.command("show")
@asks
def show_trace(
    asked: Reader,
    prefix: Annotated[str, typer.Argument(help="A trace id, or its beginning.")],
    *,
    json_: AsJson = False,
) -> None:
    """
    Show one trace as a timeline: reasoning, calls with arguments and outcome, and who was paged.

    Example: [bold]forewarn traces show 4bf92f35[/bold]
    """
    story = _story(asked, prefix.lower())
    if json_:
        print_json(as_json(story))
        return
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    console().print(timeline_view(story, zone=zone))


def _story(asked: Reader, prefix: str) -> Timeline:
    if not _PREFIX.fullmatch(prefix):
        end(f"{prefix!r} is not the beginning of a trace id: up to 32 hexadecimal digits", WRONG_USE)
    found = [row["trace_id"] for row in asked.run("trace-ids", prefix=prefix)]
    if not found:
        end(f"no trace begins with {prefix}; `forewarn traces list` shows what there is", BAD_NEWS)
    if len(found) > 1:
        end(f"several traces begin with {prefix}: {', '.join(found)}", BAD_NEWS)
    rows = asked.run("trace", prefix=found[0])
    return timeline(rows, asked.run("trace-events", prefix=found[0]), _holes(asked, rows))


def _holes(asked: Reader, rows: Rows) -> Iterator[Hole]:
    for key, within in numbered(rows).items():
        environment, service, sender = key
        of_sender = {"environment": environment, "service": service, "sender": sender}
        if found := hole(key, within, asked.run("gaps", since=_EVER, **of_sender)):
            yield found


def seconds(period: str) -> int:
    """`1h` -> 3600; ends the command where it is no period."""
    found = _PERIOD.fullmatch(period.strip())
    number = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < number <= _LONGEST_PERIOD:
        end(f"{period!r} is no period: write 90s, 15m, 1h, 7d or 2w", WRONG_USE)
    return number
