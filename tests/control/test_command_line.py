"""
The `forewarn` command: what it says of itself, of a wrong use, and of a missing extra.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

from forewarn.__main__ import VERBS

FREE_PORTS = ("--http", "127.0.0.1:0", "--store-http", "127.0.0.1:0")
WITHOUT = """
import sys
sys.modules[{package!r}] = None
from forewarn.__main__ import main
main()
"""


def run(*arguments: str, code: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "forewarn"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
        # A plugin that another package registers with pydantic may load whatever it likes.
        cwd=folder, env=os.environ | {"FOREWARN_DATA": "data", "PYDANTIC_DISABLE_PLUGINS": "__all__"},
    )  # fmt: skip


def test_help_names_every_verb_and_imports_none() -> None:
    """
    `forewarn --help` shows the table of verbs without loading any of the rooms behind it.
    """
    code = (
        "import sys\nfrom forewarn.__main__ import main\ntry:\n    main()\nfinally:\n"
        "    print([m for m in sys.modules if m.startswith(('forewarn_', 'rich'))], file=sys.stderr)"
    )

    done = run("--help", code=code)

    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    for name, verb in VERBS.items():
        assert f"  {name:<6}  {verb.help}" in done.stdout


def test_version_is_that_of_the_distribution() -> None:
    """
    `--version` prints what is installed.
    """
    assert run("--version").stdout == f"forewarn {metadata.version('forewarn')}\n"


def test_a_wrong_verb_suggests_the_nearest() -> None:
    """
    A typo is wrong use, and is helped.
    """
    done = run("serv")

    assert done.returncode == 2
    assert "No such command 'serv'. Did you mean 'serve'?" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("keys", "list", "--nope"), ("keys", "create"), ("serve", "--http"), ("--nope",)]
)
def test_a_wrong_option_is_wrong_use(arguments: tuple[str, ...]) -> None:
    """
    Unknown options and missing values end with status 2, before anything is touched.
    """
    done = run(*arguments)

    assert done.returncode == 2
    assert "option" in done.stderr.lower()
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [("sqlalchemy", ("keys", "list"), "control"), ("chdb", ("serve", *FREE_PORTS), "local")],
)
def test_a_missing_extra_says_its_fix(package: str, arguments: tuple[str, ...], extra: str, tmp_path: Path) -> None:
    """
    A verb whose packages are not installed names the command that installs them.
    """
    done = run(*arguments, code=WITHOUT.format(package=package), folder=tmp_path)

    assert done.returncode == 3
    assert (
        f"forewarn {arguments[0]} needs the packages of the extra '{extra}': pip install 'forewarn[{extra}]'"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_a_missing_module_of_our_own_is_not_blamed_on_an_extra() -> None:
    """
    A broken installation stays a loud fault.
    """
    done = run("keys", "list", code=WITHOUT.format(package="forewarn_control.commands.keys"))

    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_where_the_table_says(name: str) -> None:
    """
    Each target of the table is a typer app, and its extra, if it needs one, is one of the distribution's.
    """
    module, _, attribute = VERBS[name].target.partition(":")

    assert type(getattr(import_module(module), attribute)).__name__ == "Typer"
    assert VERBS[name].extra in {None, *metadata.metadata("forewarn").get_all("Provides-Extra", [])}
