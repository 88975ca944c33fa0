"""
`forewarn notify`: list the targets of pages and send each a test.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, assert_never

import typer
from rich.console import Console
from rich.table import Table

from forewarn_alerts.commands.options import Config, Json
from forewarn_alerts.commands.output import BAD_NEWS, UNREACHABLE, WRONG_USE, give_up, print_json
from forewarn_alerts.errors import BadConfig
from forewarn_alerts.notify.interface import Answer, Delivered, Rejected, Retry
from forewarn_alerts.notify.opening import open_target
from forewarn_alerts.notify.samples import sample_page
from forewarn_alerts.settings import AlertsConfig, TargetConfig, load_config

app = typer.Typer(
    help="List the targets of pages, and send them a test page.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Outcome = Literal["delivered", "refused", "not delivered"]
_STATUSES: Final[dict[Outcome, int]] = {"delivered": 0, "refused": BAD_NEWS, "not delivered": UNREACHABLE}


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test page."""

    target: str
    type: str
    incident: str
    outcome: Outcome
    answer: str


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
    name: Annotated[str, typer.Argument(help="A target, or a route: each of its targets. See `forewarn notify list`.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Send a page that is labelled as a test, and say what each target answered.

    Exit status 0: delivered; 1: a target refused it; 2: there is no such target or route; 3: one was not reached.

    Example: [bold]FOREWARN_PAGERDUTY_ROUTING_KEY=... forewarn notify test oncall[/bold]
    """
    loaded = _config(config)
    tried = [_try(target, loaded.all_targets()[target]) for target in _named(name, loaded)]
    if json:
        print_json([asdict(one) for one in tried])
    else:
        for one in tried:
            typer.echo(f"{one.target} ({one.type}): {one.outcome}: {one.answer}")
    raise typer.Exit(max(_STATUSES[one.outcome] for one in tried))


def _named(name: str, config: AlertsConfig) -> tuple[str, ...]:
    """The targets to try; where a target and a route have the same name, the target."""
    targets, routes = config.all_targets(), config.routes()
    if name not in targets | routes:
        known = f"targets: {', '.join(sorted(targets))}; routes: {', '.join(sorted(routes))}"
        give_up(f"there is no target or route {name}; {known}", WRONG_USE)
    return (name,) if name in targets else routes[name]


def _try(name: str, config: TargetConfig) -> Tried:
    target = open_target(name, config)
    incident = f"test-{secrets.token_hex(8)}"
    try:
        answer = target.send(target.render(sample_page(incident, at_ns=time.time_ns()), f"{incident}.{name}.1"))
    finally:
        target.close()
    outcome, said = _told(answer)
    return Tried(name, str(target.type), incident, outcome, said)


def _told(answer: Answer) -> tuple[Outcome, str]:
    match answer:
        case Delivered(said, reference):
            return "delivered", f"{said} {reference}".strip()
        case Rejected(reason):
            return "refused", f"{reason}; mend the target's settings"
        case Retry(reason):
            return "not delivered", f"{reason}; a real page would be tried again"
        case _:
            assert_never(answer)


def _config(config: Path | None) -> AlertsConfig:
    try:
        return load_config(config)
    except BadConfig as error:
        give_up(str(error), WRONG_USE)
