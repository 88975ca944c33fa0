"""
The documented commands exist as they are written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from forewarn.__main__ import VERBS
from forewarn_control.settings import ServeSettings, flag, variable

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("commands.md", "demo.md")


def written(page: str) -> Iterator[str]:
    """Every command in a console block."""
    for block in re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        for command in re.findall(r"\$ (?:.*\$\()?(forewarn .*)", block):
            yield command.partition("#")[0].strip().removesuffix(")" if "$(" in block else "")


def command_of(verb: str) -> Any:
    module, _, attribute = VERBS[verb].target.partition(":")
    return typer.main.get_command(getattr(import_module(module), attribute))


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in written(page)}))
def test_a_documented_command_exists(line: str) -> None:
    """
    Verb, subcommand and every option of a documented line are known to the program.
    """
    words = shlex.split(line)[1:]
    command = command_of(words.pop(0))

    if hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, line
        command = command.commands[name]
    known = {option for parameter in command.params for option in getattr(parameter, "opts", [])}
    options = [word.partition("=")[0] for word in words if word.startswith("--")]

    assert set(options) <= known


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented(verb: str) -> None:
    """
    Each verb has its chapter.
    """
    assert f"## `forewarn {verb}`" in (DOCS / "commands.md").read_text()


def test_every_setting_is_documented_with_its_three_names() -> None:
    """
    The table of settings agrees with the settings themselves.
    """
    text = (DOCS / "commands.md").read_text()
    serve = {option for parameter in command_of("serve").params for option in getattr(parameter, "opts", [])}

    for name in (*ServeSettings.__annotations__.keys() - {"model_config"}, "public_url"):
        assert f"| `{name}` | `{variable(name)}` | `{flag(name)}`" in text
        assert flag(name) in serve
