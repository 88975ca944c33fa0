"""docs/senders.md: its list can be read, its commands run, and every table of a dialect is on it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forewarn_collector.commands.tools import app
from forewarn_collector.dialects.table import dialects
from forewarn_collector.tools.loading import load_tools

PAGE = (Path(__file__).parents[2] / "docs/senders.md").read_text()
COMMANDS = re.findall(r"^\$ forewarn tools (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's list as tools.yaml of the current folder."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools.yaml").write_text(text)
    return tmp_path / "tools.yaml"


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_run(listed: Path, command: str) -> None:
    """
    What the page shows ends with 0.
    """
    result = CliRunner().invoke(app, shlex.split(command))

    assert result.exit_code == 0, result.output


def test_its_list_means_what_it_says(listed: Path) -> None:
    """
    The example raises `Bash`, and says nothing of a tool of another service.
    """
    tools = load_tools(listed)

    assert tools.effect("Bash", service="", environment="production") == "destructive"
    assert tools.effect("write_row", service="billing-1", environment="staging") == "write"
    assert tools.effect("write_row", service="billing-1", environment="production") is None


@pytest.mark.parametrize("title", ["OpenInference", "OpenLLMetry", "LangSmith", "Logfire", "Claude Code", "MCP"])
def test_every_dialect_is_on_it(title: str) -> None:
    """
    Who has a table has a row.
    """
    assert any(title in dialect.title for dialect in dialects())
    assert title in PAGE
