"""`forewarn query`: the named questions, and SQL for the others."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forewarn_collector.commands.connection import (
    WRONG_USE,
    AsJson,
    Data,
    Password,
    StoreUrl,
    User,
    end,
    reader,
)
from forewarn_collector.commands.output import console, print_json, print_rows
from forewarn_collector.store.library import NamedQuery, named_queries

app = typer.Typer(
    help="Run a named question or SQL on the store.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="Fill {NAME:Type}; as often as needed."),
]
Format = Annotated[
    str, typer.Option("--format", help="One of ClickHouse's output formats, such as CSVWithNames or Parquet.")
]


@app.command("list", epilog="Examples: forewarn query list | forewarn query list --json")
def list_queries(*, json_: AsJson = False) -> None:
    """The questions that have a name, with their parameters."""
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


@app.command(
    "run",
    epilog="Examples: forewarn query run started-never-ended --json | "
    "forewarn query run calls-by-tool --param since=3600",
)
def run_query(  # noqa: PLR0913 - each is an option of the command line
    name: Annotated[str, typer.Argument(help="Its name; see `forewarn query list`.")],
    data: Data,
    *,
    param: Parameters = None,
    json_: AsJson = False,
    output_format: Format = "",
    store: StoreUrl = "",
    user: User = "",
    password: Password = "",
) -> None:
    """Answer one of the named questions."""
    named = named_queries().get(name)
    if named is None:
        end(f"there is no query {name}; there are: {', '.join(named_queries())}", WRONG_USE)
    with reader(data, store, user, password) as asked:
        bound = named.bind(_filled(param))
        if output_format:
            sys.stdout.buffer.write(asked.formatted(named.sql, output_format, bound))
        else:
            print_rows(asked.sql(named.sql, **bound), as_json=json_)


@app.command(
    "sql",
    epilog="Examples: forewarn query sql 'SELECT count() FROM spans' | "
    "forewarn query sql 'SELECT * FROM calls WHERE tool = {tool:String}' --param tool=drop_table --format CSVWithNames",
)
def run_sql(  # noqa: PLR0913 - each is an option of the command line
    text: Annotated[str, typer.Argument(help="A statement that reads.")],
    data: Data,
    *,
    param: Parameters = None,
    json_: AsJson = False,
    output_format: Format = "",
    store: StoreUrl = "",
    user: User = "",
    password: Password = "",
) -> None:
    """Answer SQL; it can read the store and nothing else."""
    with reader(data, store, user, password) as asked:
        if output_format:
            sys.stdout.buffer.write(asked.formatted(text, output_format, _filled(param)))
        else:
            print_rows(asked.sql(text, **_filled(param)), as_json=json_)


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
