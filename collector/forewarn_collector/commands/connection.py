"""
Which store a command asks: `--store` and its user, or what a running `forewarn serve` wrote into its data folder.

The folder is found as `serve` finds it: --data, else FOREWARN_DATA, else `data` in forewarn.toml, else the user's own.

Faults end the command with 1: the answer is bad news, 2: wrong use, 3: something cannot be reached.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import platformdirs
import typer

from forewarn_collector.data_folder import DataFolder
from forewarn_collector.store.interface import BadQuery, StoreError
from forewarn_collector.store.reader import Reader

BAD_NEWS: Final = 1
WRONG_USE: Final = 2
UNREACHABLE: Final = 3
_CONFIG_NAME: Final = "forewarn.toml"

Data = Annotated[
    Path | None,
    typer.Option(
        envvar="FOREWARN_DATA",
        help="Data folder of a running `forewarn serve`; its store is asked (else that of the settings file, else the "
        "user's).",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        envvar="FOREWARN_CONFIG",
        help="The settings file (else forewarn.toml, if it is here).",
        show_default=False,
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


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `reader` besides its own, and the reader that they lead to."""
    own = list(signature(command, eval_str=True).parameters.values())[1:]
    of_reader = signature(reader, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        with reader(**{name: given.pop(name) for name in of_reader}) as asked:
            command(asked, **given)

    options = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in (*own, *of_reader.values())]
    # What typer reads to learn of the options.
    run.__signature__ = Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


@contextmanager
def reader(
    *, data: Data = None, config: Config = None, store: StoreUrl = "", user: User = "", password: Password = ""
) -> Iterator[Reader]:
    """A reader that is closed in the end; ends the command with a message where the store cannot be asked."""
    asked = Reader(store, user or "default", password) if store else _served(_folder(data, config), user, password)
    try:
        yield asked
    except BadQuery as fault:
        end(str(fault), WRONG_USE)
    except StoreError as fault:
        end(str(fault), UNREACHABLE)
    finally:
        asked.close()


def _folder(data: Path | None, config: Path | None) -> Path:
    if data is None and (config or Path(_CONFIG_NAME).is_file()):
        data = _configured(config or Path(_CONFIG_NAME))
    return data or platformdirs.user_data_path("forewarn", appauthor=False)


def _configured(file: Path) -> Path | None:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8")).get("data")
    except OSError as fault:
        end(f"{file} cannot be read ({fault.strerror}): check --config", WRONG_USE)
    except ValueError as fault:
        end(f"{file} is not TOML: {fault}", WRONG_USE)
    if data is None:
        return None
    if not isinstance(data, str):
        end(f"{file}: data is a path, written as a text", WRONG_USE)
    return file.parent / Path(data).expanduser()


def _served(data: Path, user: str, password: str) -> Reader:
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
