"""`forewarn keys`: who may send. Works on the data folder's state, also while `forewarn serve` runs on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forewarn_control.commands.options import Config, Data, Json
from forewarn_control.commands.reporting import reported

if TYPE_CHECKING:
    from forewarn_collector.gateway.keys import KeyInfo, KeyRing

app = typer.Typer(
    help="Create, list, rotate and revoke ingest keys. A key belongs to one environment, and decides it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command()
def create(
    *,
    environment: Annotated[str, typer.Option(help="What the key stands for: production, staging, development, ...")],
    name: Annotated[str, typer.Option(help="What it is for, for the people who read the list.")] = "",
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """
    Make a key and print it: this once, for only a digest of it is kept.

    Example: [bold]forewarn keys create --environment production --name "billing janitor"[/bold]
    """
    from forewarn_collector.gateway.keys import BadEnvironmentName

    with _ring(data, config) as ring:
        try:
            issued = ring.create(environment, name)
        except BadEnvironmentName as fault:
            raise typer.BadParameter(str(fault), param_hint="--environment") from fault
    if as_json:
        typer.echo(json.dumps({"key": issued.text, **_described(issued.info)}))
        return
    typer.echo(issued.text)
    typer.echo(
        f"Shown this once. It records for `{issued.info.environment}`: export FOREWARN_KEY=... where the agent runs.",
        err=True,
    )


@app.command("list")
def list_keys(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """
    List every key, without its secret.

    Example: [bold]forewarn keys list --json[/bold]
    """
    with _ring(data, config) as ring:
        keys = ring.list()
    if as_json:
        typer.echo(json.dumps([_described(key) for key in keys]))
        return
    for key in keys:
        made, name = f"{key.created_at:%Y-%m-%d %H:%M}", _on_one_line(key.name)
        typer.echo(f"{key.id:<28} {key.environment:<14} {made}  {_state(key):<26} {name}".rstrip())
    if not keys:
        typer.echo("no keys yet; make one: forewarn keys create --environment production")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The public id, as `forewarn keys list` shows it.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """
    Refuse a key from now on; what it recorded stays.

    Example: [bold]forewarn keys revoke production_7f3a19c2[/bold]
    """
    with _ring(data, config) as ring:
        if not ring.revoke(key_id):
            raise typer.BadParameter(_no_such(key_id, ring), param_hint="KEY_ID")
    typer.echo(json.dumps({"id": key_id, "revoked": True}) if as_json else f"{key_id} is revoked")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="The public id, as `forewarn keys list` shows it.")],
    *,
    overlap: Annotated[str, typer.Option(help="How long both keys are taken.")] = "24h",
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """
    Make the successor of a key and print it; the old one ends when the overlap is over.

    Example: [bold]forewarn keys rotate production_7f3a19c2 --overlap 7d[/bold]
    """
    from forewarn_alerts.rules.durations import parse_duration
    from forewarn_collector.gateway.keys import KeyNotInUse

    try:
        both_for = parse_duration(overlap)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--overlap") from fault
    with _ring(data, config) as ring:
        try:
            issued = ring.rotate(key_id, overlap=both_for)
        except KeyNotInUse as fault:
            raise typer.BadParameter(_no_such(key_id, ring), param_hint="KEY_ID") from fault
    if as_json:
        typer.echo(json.dumps({"key": issued.text, "replaces": key_id, **_described(issued.info)}))
        return
    typer.echo(issued.text)
    typer.echo(
        f"Shown this once. Give it to whoever uses {key_id}, which is taken for another {overlap}; "
        f"to end it at once: forewarn keys revoke {key_id}",
        err=True,
    )


@app.command()
def audit(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """
    Show everything that was done to keys: what, when, and by which user on which host.

    Example: [bold]forewarn keys audit --json[/bold]
    """
    with _ring(data, config) as ring:
        changes = ring.audit()
    if as_json:
        described = [
            {
                "at": change.at.isoformat(),
                "kind": change.kind,
                "key": change.key_id,
                "environment": change.environment,
                "user": change.by.user,
                "host": change.by.host,
                "detail": dict(change.detail),
            }
            for change in changes
        ]
        typer.echo(json.dumps(described))
        return
    for change in changes:
        who = f"{change.by.user}@{change.by.host}"
        detail = " ".join(f"{name}={_on_one_line(value)}" for name, value in change.detail.items() if value)
        typer.echo(f"{change.at:%Y-%m-%d %H:%M:%S}  {change.kind:<12} {change.key_id:<28} {who:<28} {detail}".rstrip())
    if not changes:
        typer.echo("nothing was done to a key yet")


def _no_such(key_id: str, ring: KeyRing) -> str:
    known = ", ".join(key.id for key in ring.list() if not key.revoked_at and not key.expires_at) or "none"
    return f"no active key {key_id!r}; active keys: {known}"


@contextmanager
def _ring(data: Path | None, config: Path | None) -> Iterator[KeyRing]:
    with reported():
        from forewarn_control.folder import key_ring
        from forewarn_control.settings import load

        with key_ring(load({"data": data}, config=config).settings.data) as ring:
            yield ring


def _on_one_line(text: str) -> str:
    """A name can neither look like a line of this list nor speak to the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _state(key: KeyInfo) -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
    return f"until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "active"


def _described(key: KeyInfo) -> dict[str, str | None]:
    return {
        "id": key.id,
        "environment": key.environment,
        "name": key.name,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
