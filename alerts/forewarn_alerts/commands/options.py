"""
The options that both verbs share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", envvar="FOREWARN_CONFIG", show_envvar=False, help="Read this file instead of ./forewarn.toml."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
