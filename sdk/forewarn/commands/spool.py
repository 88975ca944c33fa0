"""
`forewarn spool`: what waits on this machine, what it says, and sending it now.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forewarn.commands.draining import Emptied, empty
from forewarn.errors import ConfigurationError
from forewarn.recording.survey import Spooled, Waiting, environments, inspect, survey
from forewarn.settings import Settings, load_settings

T = TypeVar("T")

BAD_NEWS: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3

app = typer.Typer(
    help="See and send the records that wait on this machine.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

SpoolOption = Annotated[
    Path | None, typer.Option("--spool", help="The folder of records under way. Default: FOREWARN_SPOOL, as agents do.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def status(spool: SpoolOption = None, json: Json = False) -> None:
    """
    Say what waits: per environment and sender, how much, since when, and whether its process lives.

    Exit status 1 if something is damaged.

    Example: [bold]forewarn spool status --json[/bold]
    """
    settings = _settings(spool)
    found = [one for folder in _folders(settings) for one in _read(survey, folder)]
    if json:
        _print_json({"spool": str(settings.spool), "senders": [dataclasses.asdict(one) for one in found]})
    elif found:
        _print_status(settings, found)
    else:
        typer.echo(f"{settings.spool} is empty: nothing waits")
    if any(one.damaged_bytes for one in found):
        raise typer.Exit(BAD_NEWS)


@app.command("inspect")
def inspect_records(
    *,
    spool: SpoolOption = None,
    environment: Annotated[str | None, typer.Option("--environment", help="Only of this environment.")] = None,
    sender: Annotated[str | None, typer.Option("--sender", help="Only of this sender; its first letters do.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many records.")] = 1000,
    json: Json = False,
) -> None:
    """
    List the records that wait: when, start or end, which tool, its effect, its number. With --json one line a record.

    Example: [bold]forewarn spool inspect --environment production --limit 20[/bold]
    """
    settings = _settings(spool)
    shown = 0
    table = _table("when", "kind", "tool", "effect", "number", "environment", "sender")
    for one in _inspected(settings, environment, sender or ""):
        if shown == limit:
            typer.echo(f"more than {limit} records wait; --limit shows more", err=True)
            break
        shown += 1
        if json:
            typer.echo(msgspec.json.encode(dataclasses.asdict(one)).decode())
        else:
            number = "" if one.sequence is None else str(one.sequence)
            cells = (one.kind, _harmless(one.name), one.effect, number, one.environment, one.sender)
            table.add_row(_time(one.at_unix_nano), *cells)
    if not json:
        _print_table(table) if shown else typer.echo("nothing waits")


@app.command()
def drain(
    spool: SpoolOption = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="The gateway. Default: FOREWARN_ENDPOINT.")] = None,
    json: Json = False,
) -> None:
    """
    Send now what dead processes left, with the key in FOREWARN_KEY. Living processes send their own.

    Exit status 1 if the gateway will never take some of it, 3 if it takes nothing now.

    Example: [bold]forewarn spool drain --endpoint http://127.0.0.1:4318[/bold]
    """
    settings = _settings(spool, endpoint=endpoint)
    if settings.missing:
        _give_up(f"no {' and no '.join(settings.missing)} is configured: set FOREWARN_ENDPOINT and FOREWARN_KEY", 2)
    folders = _folders(settings)
    before = sum(one.records for folder in folders for one in _read(survey, folder) if not one.is_alive)
    emptied = empty(settings, expected=before, quiet=json)
    left = [one for folder in _folders(settings) for one in _read(survey, folder) if one.records]
    if json:
        _print_json({**dataclasses.asdict(emptied), "left": [dataclasses.asdict(one) for one in left]})
    else:
        _print_drained(emptied, left, settings)
    if emptied.refusal:
        raise typer.Exit(UNREACHABLE)
    if emptied.never_taken:
        raise typer.Exit(BAD_NEWS)


def _settings(spool: Path | None, **given: Any) -> Settings:
    try:
        return load_settings(spool=spool, **given)
    except ConfigurationError as error:
        _give_up(str(error), WRONG_USE)


def _folders(settings: Settings) -> list[Path]:
    return _read(environments, settings.spool)


def _read(look: Callable[[Path], list[T]], folder: Path) -> list[T]:
    try:
        return look(folder)
    except OSError as error:
        _give_up(f"cannot read {folder}: {error.strerror}", UNREACHABLE)


def _inspected(settings: Settings, environment: str | None, sender: str) -> Iterator[Spooled]:
    for folder in _folders(settings):
        for one in _read(survey, folder):
            if one.sender.startswith(sender) and environment in {None, one.environment}:
                yield from inspect(folder, one.sender)


def _print_status(settings: Settings, found: list[Waiting]) -> None:
    table = _table("environment", "sender", "process", "records", "bytes", "oldest", "damaged")
    for one in found:
        oldest = _time(one.oldest_unix_nano) if one.oldest_unix_nano else ""
        damaged = f"{one.damaged_bytes} bytes" if one.damaged_bytes else ""
        process = "lives" if one.is_alive else "dead"
        table.add_row(one.environment, one.sender, process, str(one.records), str(one.bytes), oldest, damaged)
    _print_table(table)
    waiting = sum(one.records for one in found)
    typer.echo(
        f"{waiting} records wait in {settings.spool}; the bound of each environment is {settings.spool_max_bytes}"
    )


def _print_drained(emptied: Emptied, left: list[Waiting], settings: Settings) -> None:
    typer.echo(f"{emptied.arrived} records have arrived at {settings.endpoint}")
    if emptied.never_taken:
        numbers = ", ".join(map(str, emptied.never_taken))
        typer.echo(f"{len(emptied.never_taken)} records will never be taken, and are gone; their numbers: {numbers}")
    if emptied.refusal:
        typer.echo(f"the gateway takes nothing now: {emptied.refusal}", err=True)
    for one in left:
        why = "its process lives and sends them itself" if one.is_alive else "not under this key, or not now"
        typer.echo(f"{one.records} records of {one.sender} ({one.environment}) still wait: {why}")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        # Where the terminal is narrow, a long name is folded; nothing is left out.
        table.add_column(heading, no_wrap=heading not in {"tool", "sender"}, overflow="fold")
    return table


def _print_table(table: Table) -> None:
    # In a file or a pipe a line is as long as it has to be.
    Console(markup=False, width=None if sys.stdout.isatty() else 1000).print(table)


def _harmless(name: str) -> Text:
    """A name that an agent made up, without what would do something to a terminal."""
    return Text("".join(character if character.isprintable() else "?" for character in name))


def _time(unix_nano: int) -> str:
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _give_up(message: str, exit_status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(exit_status)
