"""
The shape of the house: sizes, names and maps that a reader relies on.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("sdk", "collector", "alerts", "control")
MODULE_LINES = 400
FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "core", "misc"}


def _modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_stay_small() -> None:
    """
    No module is longer than 400 lines.
    """
    long = {str(path.relative_to(ROOT)): n for path in _modules(*ROOTS, "tests", "benchmarks")
            if (n := len(path.read_text().splitlines())) > MODULE_LINES}  # fmt: skip

    assert long == {}


def test_functions_stay_small() -> None:
    """
    No function of the product is longer than 60 lines.
    """
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": size
        for path in _modules(*ROOTS)
        for node in _functions(path)
        if (size := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }

    assert long == {}


def test_names_say_something() -> None:
    """
    Modules are named for what they hold.
    """
    vague = [path for path in _modules(*ROOTS) if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES]

    assert vague == []


def test_every_module_says_what_it_is_for() -> None:
    """
    Every module of the product opens with a docstring.
    """
    silent = [str(path) for path in _modules(*ROOTS) if not ast.get_docstring(ast.parse(path.read_text()))]

    assert silent == []


def test_the_environment_is_read_in_one_place_a_process() -> None:
    """
    Only settings modules read environment variables.
    """
    readers = [
        str(path.relative_to(ROOT))
        for path in _modules(*ROOTS)
        if path.stem != "settings" and re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]

    assert readers == []


def test_no_room_is_empty() -> None:
    """
    A package holds code, not a promise of some.
    """
    empty = [
        str(folder.relative_to(ROOT))
        for root in ROOTS
        for folder in (ROOT / root).rglob("*")
        if folder.is_dir() and folder.name != "__pycache__" and not any(folder.rglob("*.*"))
    ]

    assert empty == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"])
def test_maps_name_only_what_exists(page: str) -> None:
    """
    Every path that a map names is there.
    """
    named = re.findall(
        r"`((?:sdk|collector|alerts|control|tests|docs|benchmarks|examples)/[\w./*-]*)`", (ROOT / page).read_text()
    )

    missing = [name for name in named if not list(ROOT.glob(name.rstrip("/")))]

    assert missing == []


def test_every_root_is_in_the_wheel_and_under_the_import_rules() -> None:
    """
    The lists of roots in pyproject.toml agree with the tree.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [f"{root}/{next((ROOT / root).glob('*/__init__.py')).parent.name}" for root in ROOTS]

    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == packages
    assert project["tool"]["mypy"]["packages"] == [package.split("/")[1] for package in packages]
    assert project["tool"]["importlinter"]["root_packages"] == [package.split("/")[1] for package in packages]
    assert project["tool"]["hatch"]["build"]["dev-mode-dirs"] == list(ROOTS)
