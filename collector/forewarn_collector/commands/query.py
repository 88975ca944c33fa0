"""`forewarn query`: the named questions, and SQL for the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from forewarn_collector.commands.connection import WRONG_USE, AsJson, asks, end
from forewarn_collector.commands.output import console, print_json, print_rows
from forewarn_collector.store.library import NamedQuery, named_queries
from forewarn_collector.store.reader import Reader

app = typer.Typer(
    help="Run a named question or SQL on the store.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="Fill {NAME:Type}; as often as needed."),
]
Format = Annotated[
    str, typer.Option("--format", help="One of ClickHouse's output formats, such as CSVWithNames or Parquet.")
]


@app.command("list")
def list_queries(*, json_: AsJson = False) -> None:
    """
    List the questions that have a name, with their parameters.

    Example: [bold]forewarn query list[/bold]
    """
    if json_:
        print_json([_described(query) for query in named_queries().values()])
        return
    out = console()
    for query in named_queries().values():
        out.print(query.name, style="bold", markup=False)
        out.print(f"  {query.purpose}", markup=False)
        for parameter in query.parameters:
            default = "needed" if parameter.default is None else f"default {parameter.default or 'empty'}"
            out.print(f"  --param {parameter.name}=...  {parameter.meaning} ({default})", markup=False)


@app.command("run")
@asks
def run_query(
    asked: Reader,
    name: Annotated[str, typer.Argument(help="Its name; see `forewarn query list`.")],
    *,
    param: Parameters = None,
    json_: AsJson = False,
    output_format: Format = "",
) -> None:
    """
    Answer one of the named questions.

    Example: [bold]forewarn query run calls-by-tool --param since=3600[/bold]
    """
    named = named_queries().get(name)
    if named is None:
        end(f"there is no query {name}; there are: {', '.join(named_queries())}", WRONG_USE)
    _answer(asked, named.sql, named.bind(_filled(param)), output_format, as_json=json_)


@app.command("sql")
@asks
def run_sql(
    asked: Reader,
    text: Annotated[str, typer.Argument(help="A statement that reads.")],
    *,
    param: Parameters = None,
    json_: AsJson = False,
    output_format: Format = "",
) -> None:
    """
    Answer SQL; it can read the store and nothing else.

    Example: [bold]forewarn query sql 'SELECT * FROM calls WHERE tool = {tool:String}' --param tool=drop_table[/bold]
    """
    _answer(asked, text, _filled(param), output_format, as_json=json_)


def _answer(asked: Reader, text: str, parameters: Mapping[str, Any], output_format: str, *, as_json: bool) -> None:
    if output_format:
        sys.stdout.buffer.write(asked.formatted(text, output_format, parameters))
    else:
        print_rows(asked.sql(text, **parameters), as_json=as_json)


def _filled(given: list[str] | None) -> dict[str, str]:
    filled: dict[str, str] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            end(f"{pair!r} is no parameter: write --param NAME=VALUE", WRONG_USE)
        filled[name] = value
    return filled


def _described(query: NamedQuery) -> dict[str, object]:
    return {
        "name": query.name,
        "purpose": query.purpose,
        "parameters": [
            {"name": each.name, "type": each.type, "meaning": each.meaning, "default": each.default}
            for each in query.parameters
        ],
    }
