"""`forewarn tools`: the list of what the tools of other instrumentations do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forewarn_collector.tools.loading import ToolFaults, load_tools
from forewarn_collector.tools.tool_list import ToolList

app = typer.Typer(rich_markup_mode="rich", add_completion=False, no_args_is_help=True)

_BAD_NEWS, _WRONG_USE = 1, 2
Tools = Annotated[Path, typer.Option(help="The tool list.")]


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The tool list.")] = Path("tools.yaml")) -> None:
    """
    Say whether the list can be read, and every fault in it.

    Example: [bold]forewarn tools check tools.yaml[/bold]
    """
    typer.echo(f"{file}: {len(_loaded(file).entries)} entries, no fault")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A tool, as its spans name it.")],
    *,
    tools: Tools = Path("tools.yaml"),
    service: Annotated[str, typer.Option(help="The service that calls it.")] = "",
    environment: Annotated[str, typer.Option(help="The verified environment.")] = "production",
) -> None:
    """
    Say what the list says of a tool, and where.

    Example: [bold]forewarn tools explain drop_table --environment production[/bold]
    """
    entry = _loaded(tools).entry(name, service=service, environment=environment)
    if entry is None:
        typer.echo(f"{name}: no entry fits; unless its sender declares an effect, it is unknown")
        raise typer.Exit(_BAD_NEWS)
    typer.echo(f"{name}: {entry.effect} by {tools}:{entry.line} ({', '.join(entry.tools)})")


def _loaded(file: Path) -> ToolList:
    if not file.is_file():
        typer.echo(f"{file}: no such file; name the list, as in `forewarn tools check lists/tools.yaml`", err=True)
        raise typer.Exit(_WRONG_USE)
    try:
        return load_tools(file)
    except ToolFaults as faults:
        typer.echo("\n".join(map(str, faults.faults)), err=True)
        raise typer.Exit(_BAD_NEWS) from None
