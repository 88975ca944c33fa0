"""
`forewarn notify`: list the targets of pages and send each a test.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, assert_never

import typer
from rich.console import Console
from rich.table import Table

from forewarn_alerts.commands.options import Config, Json
from forewarn_alerts.commands.output import BAD_NEWS, UNREACHABLE, WRONG_USE, give_up, print_json
from forewarn_alerts.errors import BadConfig
from forewarn_alerts.notify.interface import Answer, Delivered, Rejected, Retry
from forewarn_alerts.notify.opening import open_target
from forewarn_alerts.notify.samples import sample_page
from forewarn_alerts.settings import AlertsConfig, load_config

app = typer.Typer(
    help="List the targets of pages, and send one a test page.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command("list")
def list_targets(config: Config = None, json: Json = False) -> None:
    """
    List targets and routes; secrets are never shown.

    Example: [bold]FOREWARN_SLACK_WEBHOOK_URL=https://hooks.slack.com/... forewarn notify list[/bold]
    """
    loaded = _config(config)
    routes = loaded.routes()
    if json:
        targets = [{"name": name, "type": str(target.type)} for name, target in loaded.all_targets().items()]
        print_json({"targets": targets, "routes": {route: list(names) for route, names in routes.items()}})
        return
    table = Table("target", "type", "told by routes", box=None, pad_edge=False)
    for name, target in loaded.all_targets().items():
        told = ", ".join(route for route, names in routes.items() if name in names)
        table.add_row(name, str(target.type), told or "none: no rule reaches it")
    Console().print(table)


@app.command("test")
def send_test(
    target: Annotated[str, typer.Argument(help="Name of the target; see `forewarn notify list`.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Send a page that is labelled as a test, and say what the target answered.

    Exit status 0: delivered; 1: the target refused it; 2: there is no such target; 3: it could not be reached.

    Example: [bold]FOREWARN_PAGERDUTY_ROUTING_KEY=... forewarn notify test pagerduty[/bold]
    """
    targets = _config(config).all_targets()
    if target not in targets:
        give_up(f"there is no target {target}; known: {', '.join(sorted(targets))}", WRONG_USE)
    opened = open_target(target, targets[target])
    incident = f"test-{secrets.token_hex(8)}"
    try:
        message = opened.render(sample_page(incident, at_ns=time.time_ns()), f"{incident}.{target}.1")
        answer = opened.send(message)
    finally:
        opened.close()
    outcome, said, status = _outcome(answer)
    if json:
        print_json(
            {"target": target, "type": str(opened.type), "incident": incident, "outcome": outcome, "answer": said}
        )
    else:
        typer.echo(f"{target} ({opened.type}): {outcome}: {said}")
    raise typer.Exit(status)


def _outcome(answer: Answer) -> tuple[str, str, int]:
    match answer:
        case Delivered(said, reference):
            return "delivered", f"{said} {reference}".strip(), 0
        case Rejected(reason):
            return "refused", f"{reason}; mend the target's settings", BAD_NEWS
        case Retry(reason):
            return "not delivered", f"{reason}; a real page would be tried again", UNREACHABLE
        case _:
            assert_never(answer)


def _config(config: Path | None) -> AlertsConfig:
    try:
        return load_config(config)
    except BadConfig as error:
        give_up(str(error), WRONG_USE)
