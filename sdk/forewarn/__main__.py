"""
The `forewarn` command: a table of verbs; a verb's module is imported only when the verb is used.

So `forewarn --help` is fast and works on the base install, and a verb whose packages are missing says which extra to
install. Exit status of every verb: 0 fine, 1 the answer is bad news, 2 wrong use, 3 something needed cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Annotated, Final

import typer

EXIT_UNREACHABLE: Final = 3
"""Something needed cannot be reached; a missing package is that, too."""

_EPILOG: Final = (
    "Exit status: 0 fine; 1 the answer is bad news; 2 wrong use; 3 something needed cannot be reached. "
    "`forewarn VERB --help` shows a verb's options with examples."
)
_OWN_PACKAGES: Final = frozenset({"forewarn", "forewarn_collector", "forewarn_alerts", "forewarn_control"})
_PASS_ALL_ARGUMENTS_ON: Final[dict[str, object]] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb lives (`module:attribute` of a typer app), the extra with its packages, and one line of help."""

    target: str
    extra: str | None
    """None for what the base install can do."""
    help: str


VERBS: Final[dict[str, Verb]] = {
    "serve": Verb("forewarn_control.commands.serve:app", "local", "Run every role in one process on this machine."),
    "demo": Verb("forewarn_control.commands.demo:app", "local", "See an agent drop a production table, and the page."),
    "traces": Verb("forewarn_collector.commands.traces:app", "collector", "List traces; show one as a timeline."),
    "query": Verb("forewarn_collector.commands.query:app", "collector", "Run a named question or SQL on the store."),
    "gaps": Verb("forewarn_collector.commands.gaps:app", "collector", "Say which records are missing, and why."),
    "rules": Verb("forewarn_alerts.commands.rules:app", "alerts", "List, check and test the alert rules."),
    "tools": Verb(
        "forewarn_collector.commands.tools:app", "collector", "Check the tool list; say what it says of a tool."
    ),
    "keys": Verb("forewarn_control.commands.keys:app", "control", "Create, list and revoke ingest keys."),
    "notify": Verb("forewarn_alerts.commands.notify:app", "alerts", "List the targets of pages; send a test page."),
    "spool": Verb("forewarn.commands.spool:app", None, "See and send the records that wait on this machine."),
    "doctor": Verb("forewarn_control.commands.doctor:app", "control", "Say what is wrong, and how to mend it."),
}

app = typer.Typer(
    name="forewarn",
    help="The flight recorder and the alarm for AI agents.",
    epilog=_EPILOG,
    no_args_is_help=True,
    subcommand_metavar="VERB [ARGS]...",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: importing rich would double the time of `forewarn --help`
)


def main() -> None:
    """What the `forewarn` script and `python -m forewarn` run."""
    app(prog_name="forewarn")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"forewarn {metadata.version('forewarn')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    del version


def _run(name: str, verb: Verb, arguments: list[str]) -> None:
    module_name, _, attribute = verb.target.partition(":")
    try:
        verb_app = getattr(import_module(module_name), attribute)
        typer.main.get_command(verb_app).main(args=arguments, prog_name=f"forewarn {name}")
    except ModuleNotFoundError as missing:
        if verb.extra is None or (missing.name or "").partition(".")[0] in _OWN_PACKAGES:
            raise
        typer.echo(
            f"forewarn {name} needs the packages of the extra '{verb.extra}': pip install 'forewarn[{verb.extra}]'\n"
            f"(missing: {missing.name})",
            err=True,
        )
        raise typer.Exit(EXIT_UNREACHABLE) from missing


def _runner(name: str, verb: Verb) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        _run(name, verb, context.args)

    return run


for _name, _verb in VERBS.items():
    app.command(_name, help=_verb.help, context_settings=_PASS_ALL_ARGUMENTS_ON, add_help_option=False)(
        _runner(_name, _verb)
    )

if __name__ == "__main__":
    main()
