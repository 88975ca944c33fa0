"""
Exit statuses and printing, the same for both verbs.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import msgspec
import typer

BAD_NEWS: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3


def print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def give_up(message: str, status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)
