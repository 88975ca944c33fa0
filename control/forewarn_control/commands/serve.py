"""`forewarn serve`: every role in one process, on the embedded sides."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forewarn_control.commands.options import Config, Data, Json
from forewarn_control.commands.reporting import reported

if TYPE_CHECKING:
    from forewarn_control.house import House
    from forewarn_control.settings import Loaded

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command()
def serve(  # noqa: PLR0913 -- a command's signature is its list of options
    *,
    data: Data = None,
    http: Annotated[
        str | None, typer.Option(help="Where agents send (default 127.0.0.1:4318; port 0: any free port).")
    ] = None,
    grpc: Annotated[str | None, typer.Option(help="Where agents send by gRPC (default port 4317 of --http).")] = None,
    store_http: Annotated[str | None, typer.Option(help="Where readers ask (default 127.0.0.1:8123).")] = None,
    rules: Annotated[
        list[Path] | None, typer.Option(help="A folder or file of rules, besides the shipped ones; repeatable.")
    ] = None,
    tools: Annotated[Path | None, typer.Option(help="tools.yaml: what the tools of other instrumentations do.")] = None,
    retention: Annotated[str | None, typer.Option(help="How long the store keeps records (default 30d).")] = None,
    log_retention: Annotated[
        str | None, typer.Option(help="How long the log keeps what all have read (default 7d).")
    ] = None,
    log_max_size: Annotated[
        str | None, typer.Option(help="What the log may hold before senders wait (default 4GiB).")
    ] = None,
    max_body: Annotated[str | None, typer.Option(help="The largest request that is taken (default 64MiB).")] = None,
    max_rate: Annotated[float | None, typer.Option(help="Requests a second of one key (default 2000).")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Requests at once of one key (default 256).")] = None,
    max_in_flight: Annotated[str | None, typer.Option(help="Bytes of all requests at once (default 256MiB).")] = None,
    max_connections: Annotated[int | None, typer.Option(help="Connections to each door (default 2048).")] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="The certificate chain of every door; SIGHUP: read again.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    drain: Annotated[str | None, typer.Option(help="How long a stop is announced at /readyz (default 0s).")] = None,
    redact_patterns: Annotated[
        list[str] | None, typer.Option(help="An expression of what is redacted besides; repeatable.")
    ] = None,
    redact_off: Annotated[list[str] | None, typer.Option(help="What is not redacted, by its name; repeatable.")] = None,
    public_url: Annotated[str | None, typer.Option(help="How people reach this, for links in pages.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """
    Run every role in one process on this machine.

    The first start makes a production and a development key, and prints how to point an agent at it.

    Every option is also a FOREWARN_ variable and a key of forewarn.toml, in this order of precedence.

    Whom to page is set there, too: see `forewarn notify list`.

    Example: [bold]forewarn serve --data ./data --http 127.0.0.1:4318 --store-http 127.0.0.1:8123[/bold]
    """
    # Every option but these two is a setting of the same name; one that is repeatable and left out is empty.
    given = {name: value for name, value in locals().items() if name not in {"config", "as_json"} and value != []}
    _log_to_stderr()
    with reported():
        from forewarn_control.settings import load

        _serve(load(given, config=config), as_json=as_json)


def _serve(loaded: Loaded, *, as_json: bool) -> None:
    from forewarn_control.commands import announcement
    from forewarn_control.errors import RoleDied
    from forewarn_control.house import House

    house = House(loaded.settings)
    _stop_on_signals(house)
    _watch_threads(house)
    serving = house.start()
    if loaded.settings.tls_cert:
        _renew_on_sighup(house)
    try:
        said = announcement.as_json(serving) if as_json else announcement.as_text(serving, loaded.settings)
        typer.echo(said)
        house.finished.wait()
    finally:
        house.stop()
    died = house.roles.died()
    if died:
        what = "; ".join(f"{role}: {why}" for role, why in died.items())
        raise RoleDied(f"stopped, because a role died: {what}", "what was acknowledged is safe; start it again")


def _stop_on_signals(house: House) -> None:
    """The first signal asks for an orderly stop; the same again ends at once, which loses nothing either."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        # In a thread: the main one, which runs this, may be inside `wait`, and would wait for its own lock for ever.
        threading.Thread(target=house.finished.set, name="stopping").start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` means it
        signal.signal(signal.SIGHUP, stop)


def _renew_on_sighup(house: House) -> None:
    signal.signal(signal.SIGHUP, lambda _number, _frame: house.renew_certificate())


def _watch_threads(house: House) -> None:
    """A thread that a role started is part of the role: its death is the role's."""

    def died(thread: threading.ExceptHookArgs) -> None:
        name = thread.thread.name if thread.thread else "a thread"
        logging.getLogger(__name__).critical("%s died", name, exc_info=thread.exc_value)
        house.roles.note_death(name, f"{thread.exc_type.__name__}: {thread.exc_value}")

    threading.excepthook = died


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03d %(levelname)-8s %(threadName)-12s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It warns of every request that is no HTTP; those are counted, and whoever sends them shall not fill a disk.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
