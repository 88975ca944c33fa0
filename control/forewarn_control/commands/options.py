"""The options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option(help="The data folder (FOREWARN_DATA; else the platform's user data folder).", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option(
        envvar="FOREWARN_CONFIG",
        help="The settings file (else forewarn.toml, if it is here).",
        show_default=False,
        show_envvar=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
