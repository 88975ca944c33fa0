"""
Which store a command asks: `--store` and its user, or what a running `forewarn serve` wrote into its data folder.

Faults end the command as DESIGN 1.1 says: 1 the answer is bad news, 2 wrong use, 3 something cannot be reached.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import platformdirs
import typer

from forewarn_collector.data_folder import DataFolder
from forewarn_collector.store.interface import BadQuery, StoreError
from forewarn_collector.store.reader import Reader

BAD_NEWS: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3

Data = Annotated[
    Path,
    typer.Option(
        envvar="FOREWARN_DATA",
        help="Data folder of a running `forewarn serve`; its store is asked.",
        default_factory=lambda: platformdirs.user_data_path("forewarn", appauthor=False),
        show_default="the user's data folder",
    ),
]
StoreUrl = Annotated[
    str, typer.Option("--store", envvar="FOREWARN_STORE", help="Address of a store, such as http://127.0.0.1:8123.")
]
User = Annotated[str, typer.Option(envvar="FOREWARN_STORE_USER", help="User of the store.")]
Password = Annotated[
    str, typer.Option(envvar="FOREWARN_STORE_PASSWORD", help="Password; better given in the environment.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]


@contextmanager
def reader(data: Path, store: str, user: str, password: str) -> Iterator[Reader]:
    """A reader that is closed in the end; ends the command with a message where the store cannot be asked."""
    asked = _asked(data, store, user, password)
    try:
        yield asked
    except BadQuery as fault:
        end(str(fault), WRONG_USE)
    except StoreError as fault:
        end(str(fault), UNREACHABLE)
    finally:
        asked.close()


def _asked(data: Path, store: str, user: str, password: str) -> Reader:
    if store:
        return Reader(store, user or "default", password)
    path = DataFolder(data).endpoints
    try:
        endpoints = json.loads(path.read_text(encoding="utf-8"))
        known = endpoints["reader"]
        return Reader(endpoints["store"], user or known["user"], password or known["password"])
    except FileNotFoundError:
        end(f"no store to ask: {path} is not there. Start `forewarn serve`, or give --data or --store.", UNREACHABLE)
    except OSError as fault:
        end(f"no store to ask: {path} cannot be read ({fault.strerror}). Give --data or --store.", UNREACHABLE)
    except (ValueError, KeyError, TypeError):
        end(f"{path} is damaged: restart `forewarn serve`, or give --store.", UNREACHABLE)


def end(message: str, status: int) -> NoReturn:
    typer.echo(f"forewarn: {message}", err=True)
    raise typer.Exit(status)
