"""
`forewarn rules`: list, check and test rule files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from forewarn_alerts.commands.options import Config, Json
from forewarn_alerts.commands.output import BAD_NEWS, WRONG_USE, give_up, print_json
from forewarn_alerts.errors import BadConfig
from forewarn_alerts.rules import Fault, Rule, RuleFaults, RuleSet, load_rules, run_examples
from forewarn_alerts.settings import AlertsConfig, load_config

app = typer.Typer(
    help="List, check and test the alert rules.", no_args_is_help=True, rich_markup_mode="rich", add_completion=False
)

Paths = Annotated[
    list[Path] | None, typer.Argument(help="Rule files or folders of them. Default: --rules and the shipped rules.")
]
RulesOption = Annotated[
    list[Path] | None, typer.Option("--rules", help="A folder or file of rules besides the shipped ones; repeatable.")
]


@app.command("list")
def list_rules(rules: RulesOption = None, config: Config = None, json: Json = False) -> None:
    """
    List the rules that a server started here would obey.

    Example: [bold]forewarn rules list --rules ./rules[/bold]
    """
    loaded = _load_or_exit(_config(config, rules), json=json)
    if json:
        print_json([_described(rule) for rule in loaded.rules])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("rule", "severity", "on", "notifies", "title", "from"):
        table.add_column(heading, no_wrap=heading in {"rule", "severity", "on"})
    for rule in loaded.rules:
        source = "shipped" if rule.shipped else str(rule.source)
        table.add_row(rule.id, str(rule.severity), str(rule.on), ", ".join(rule.notify), rule.title, source)
    Console().print(table)


@app.command()
def check(
    paths: Paths = None,
    rules: RulesOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Check rule files and print every fault with its file, line and column. Exit status 1 if there is one.

    Example: [bold]forewarn rules check ./rules[/bold]
    """
    loaded = _load_or_exit(_config(config, rules), paths, json=json)
    if json:
        print_json({"rules": [rule.id for rule in loaded.rules], "faults": []})
    else:
        typer.echo(f"{len(loaded.rules)} rules, no faults")


@app.command("test")
def run_tests(
    paths: Paths = None,
    rules: RulesOption = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Run the tests inside rule files. Exit status 1 if one fails or a file is faulty.

    Example: [bold]forewarn rules test ./rules/payouts.yaml[/bold]
    """
    loaded = _load_or_exit(_config(config, rules), paths, json=json)
    results = [
        {
            "rule": rule.id,
            "file": str(rule.source),
            "line": verdict.example.line,
            "passed": verdict.passed,
            "why": verdict.why,
        }
        for rule in loaded.rules
        for verdict in run_examples(rule)
    ]
    failed = [result for result in results if not result["passed"]]
    if json:
        print_json({"passed": len(results) - len(failed), "failed": len(failed), "tests": results})
    else:
        for result in failed:
            typer.echo(f"{result['file']}:{result['line']}: {result['why']}")
        for rule in loaded.rules:
            if not rule.tests:
                typer.echo(f"{rule.source}: has no tests; add `tests:` with a call that fires and one that is silent")
        typer.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(BAD_NEWS)


def _config(config: Path | None, rules: list[Path] | None) -> AlertsConfig:
    try:
        return load_config(config, rules=tuple(rules or ()))
    except BadConfig as error:
        give_up(str(error), WRONG_USE)


def _load_or_exit(config: AlertsConfig, paths: list[Path] | None = None, *, json: bool) -> RuleSet:
    """Files named on the command line are read alone: the shipped rules are then beside the point."""
    try:
        if paths:
            return load_rules(paths, routes=config.routes(), library=False)
        return load_rules(config.rules, routes=config.routes())
    except RuleFaults as error:
        if json:
            print_json({"rules": [], "faults": [_fault(fault) for fault in error.faults]})
            raise typer.Exit(BAD_NEWS) from error
        give_up(f"{error}\n{len(error.faults)} faults; no rule was loaded", BAD_NEWS)


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "file": str(fault.path),
        "line": fault.line,
        "column": fault.column,
        "message": fault.message,
        "do": fault.do,
    }


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": str(rule.severity),
        "on": str(rule.on),
        "when": rule.when.text,
        "after_s": rule.after.total_seconds(),
        "group_by": list(rule.group_by),
        "repeat_interval_s": rule.repeat_interval.total_seconds(),
        "notify": list(rule.notify),
        "runbook": rule.runbook,
        "tests": len(rule.tests),
        "shipped": rule.shipped,
        "file": str(rule.source),
    }
