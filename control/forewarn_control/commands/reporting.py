"""How a verb ends when something is wrong: what and what to do on standard error, and an exit status that fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from forewarn_control.errors import ControlError


@contextmanager
def reported() -> Iterator[None]:
    """Around a verb's work."""
    try:
        yield
    except ControlError as error:
        typer.echo(f"forewarn: {error}", err=True)
        raise typer.Exit(error.exit_status) from error
