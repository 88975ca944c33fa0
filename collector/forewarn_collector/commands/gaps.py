"""`forewarn gaps`: which records are missing, late or refused, and by whose fault."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from forewarn_collector.commands.connection import BAD_NEWS, AsJson, asks
from forewarn_collector.commands.output import console, print_json
from forewarn_collector.commands.traces import seconds
from forewarn_collector.gaps import accounts
from forewarn_collector.gaps_view import GapsView
from forewarn_collector.store.reader import Reader

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command()
@asks
def gaps(
    asked: Reader,
    *,
    since: Annotated[str, typer.Option(help="Of senders heard of since: 90s, 15m, 1h, 7d, 2w.")] = "24h",
    sender: Annotated[str, typer.Option(help="Only senders whose id begins so.")] = "",
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    environment: Annotated[str, typer.Option(help="Only this verified environment.")] = "",
    json_: AsJson = False,
) -> None:
    """
    Say which records are missing, late or refused, and by whose fault; 1 where there are any.

    Every process that sends numbers its records, says that it lives, and that it stops.

    Example: [bold]forewarn gaps --since 1h --service billing[/bold]
    """
    only = {"environment": environment, "service": service, "sender": sender}
    of_period = only | {"since": seconds(since)}
    senders, missing, losses = (asked.run(name, **of_period) for name in ("sender-numbers", "gaps", "losses"))
    rejected = asked.run("rejected-records", **only)
    found = accounts(senders, missing, losses, rejected)
    if json_:
        print_json({"senders": [asdict(account) for account in found]})
    else:
        console().print(GapsView(found, unreadable=sum(not row["sender"] for row in rejected)))
    if any(account.findings for account in found):
        raise typer.Exit(BAD_NEWS)
