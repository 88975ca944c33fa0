"""The tool list: which entry counts, which effect wins, and where a file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from forewarn.conventions import Effect
from forewarn_collector.commands.tools import app
from forewarn_collector.tools.loading import ToolFaults, load_tools
from forewarn_collector.tools.tool_list import Entry, ToolList, verdict

LIST = """\
tools:
  - name: drop_*
    effect: destructive
    environment: [prod]
  - name: [drop_*, "get?"]
    effect: write
    service: billing-*
  - {name: "a.b", effect: read}
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    file = tmp_path / "tools.yaml"
    file.write_text(LIST)
    return file


@pytest.mark.parametrize(
    ("tool", "service", "environment", "effect"),
    [
        ("drop_table", "any", "production", "destructive"),
        ("drop_table", "billing-1", "staging", "write"),
        ("drop_table", "other", "staging", None),
        ("get1", "billing-1", "production", "write"),
        ("get", "billing-1", "production", None),
        ("get12", "billing-1", "production", None),
        ("a.b", "", "", "read"),
        ("axb", "", "", None),
        ("a.b\n", "", "", None),
        ("drop_a\nb", "", "production", "destructive"),
    ],
)
def test_the_first_entry_that_fits_counts(  # noqa: PLR0917 -- one row of the table
    tools: Path, tool: str, service: str, environment: str, effect: str | None
) -> None:
    """
    A pattern is for whole names; an entry with a service or an environment is for those alone.
    """
    assert load_tools(tools).effect(tool, service=service, environment=environment) == effect


@pytest.mark.parametrize(
    ("listed", "effect", "source", "expected"),
    [
        (None, "read", "declared", ("read", "declared")),
        (None, "", "", ("unknown", "undeclared")),
        (None, "explosive", "", ("unknown", "undeclared")),
        (Effect.READ, "", "", ("read", "tool_list")),
        (Effect.READ, "write", "declared", ("write", "declared")),
        (Effect.DESTRUCTIVE, "write", "declared", ("destructive", "tool_list")),
        (Effect.READ, "unknown", "undeclared", ("read", "tool_list")),
        (Effect.WRITE, "unknown", "declared", ("unknown", "declared")),
    ],
)
def test_the_graver_effect_wins(listed: Effect | None, effect: str, source: str, expected: tuple[str, str]) -> None:
    """
    A list can raise what a sender declares, never lower it; where neither knows, the effect is unknown.
    """
    found = verdict(listed, effect=effect, source=source)

    assert (found.effect, found.source) == expected
    assert found.is_corrected == (expected != (effect, source))


def test_names_do_not_fill_the_memory() -> None:
    """
    However many names are asked about, a bounded number of answers is kept.
    """
    tools = ToolList((Entry(tools=("*",), effect=Effect.READ),))

    for number in range(10_000):
        tools.effect(str(number), service="", environment="")

    assert len(tools._known) <= 4096


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty"),
        ("tools: [", "this is not YAML"),
        ("- name: x", "1:1: a tool list is a map with the key `tools`"),
        ("tools:\n  - name: x\n", "2:5: an entry needs `effect`"),
        ("tools:\n  - name: x\n    effect: destructve\n", "3:13: `destructve` is not an effect; write `destructive`"),
        ("tools:\n  - nme: x\n    effect: read\n", "2:5: `nme` is not a key of an entry; write `name`"),
        ("tools:\n  - nme: x\n    effect: read\n", "2:5: an entry needs `name`"),
        ("tools:\n  - {name: 7, effect: read}\n", "2:12: `name` holds something that is no text"),
        ("tools:\n  - {name: x, effect: read, service: []}\n", "`service` is an empty list"),
        ("tools: []\nmore: 1\n", "2:1: `more` is not a key of a tool list"),
    ],
)
def test_a_fault_has_a_place_and_a_way_out(tmp_path: Path, text: str, said: str) -> None:
    """
    Every fault names file, line and column, and what to write instead.
    """
    file = tmp_path / "tools.yaml"
    file.write_text(text)

    with pytest.raises(ToolFaults) as caught:
        load_tools(file)

    assert said in str(caught.value)
    assert all(str(fault).startswith(f"{file}:") for fault in caught.value.faults)


def test_the_commands_say_what_the_list_says(tools: Path, tmp_path: Path) -> None:
    """
    `check` counts the entries or shows the faults; `explain` names the line that decides.
    """
    run = CliRunner().invoke

    fine, found = run(app, ["check", str(tools)]), run(app, ["explain", "drop_x", "--tools", str(tools)])
    missing, none = run(app, ["check", str(tmp_path / "no")]), run(app, ["explain", "x", "--tools", str(tools)])

    assert (fine.exit_code, fine.stdout) == (0, f"{tools}: 3 entries, no fault\n")
    assert (found.exit_code, found.stdout) == (0, f"drop_x: destructive by {tools}:2 (drop_*)\n")
    assert (missing.exit_code, none.exit_code) == (2, 1)
    assert "no such file" in missing.stderr
