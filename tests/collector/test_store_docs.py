"""What docs/store.md says is what there is, and its examples run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forewarn_collector.commands import query
from forewarn_collector.store.library import named_queries
from forewarn_collector.store.sessions import Limits

PAGE = (Path(__file__).parents[2] / "docs/store.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = re.findall(r"^\$ (.*)$", "\n".join(blocks("console")), re.MULTILINE)


def chapter(title: str) -> str:
    return re.split(r"\n##+ ", PAGE.partition(f" {title}\n")[2])[0]


@pytest.fixture
def environment(served: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FOREWARN_STORE", f"{served.url}/{served.store._database}")
    monkeypatch.setenv("FOREWARN_STORE_USER", served.user)
    monkeypatch.setenv("FOREWARN_STORE_PASSWORD", served.password)
    return served


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("forewarn query ")])
def test_commands_run(environment: Any, command: str) -> None:
    """
    Every `forewarn query` of the page ends with 0.
    """
    result = CliRunner().invoke(query.app, shlex.split(command)[2:])

    assert result.exit_code == 0, result.output
    assert result.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("curl ")])
def test_curl_runs(environment: Any, command: str) -> None:
    """
    Every `curl` of the page prints rows.
    """
    store = f"{environment.url}/?database={environment.store._database}"

    result = subprocess.run(
        ["bash", "-c", command.replace("curl ", "curl --silent --show-error --fail ", 1)],
        env=os.environ | {"FOREWARN_STORE": store},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(("2\n", "{"))


def test_python_runs(environment: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The example for clickhouse-connect prints a line per destructive call.
    """
    (example,) = blocks("python")

    exec(compile(example.replace('"destructive"', '"unknown"'), "docs/store.md", "exec"), {})

    assert capsys.readouterr().out.count("drop_table") == 2


@pytest.mark.parametrize("sql", blocks("sql"))
def test_sql_runs(served: Any, sql: str) -> None:
    """
    Every statement of the page is understood.
    """
    assert len(served.store.query(f"SELECT count() FROM ({sql})")) == 1


def test_named_queries_are_all_there() -> None:
    """
    The table of named queries says what their files say.
    """
    listed = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", chapter("Named queries"), re.MULTILINE))

    assert listed == {name: named.purpose for name, named in named_queries().items()}


def test_tables_are_all_there(served: Any) -> None:
    """
    Every table and view that holds something is named.
    """
    held = served.store.query(
        "SELECT name FROM system.tables "
        "WHERE database = currentDatabase() AND engine NOT IN ('Null', 'MaterializedView')"
    )

    assert {row["name"] for row in held} <= set(re.findall(r"`(\w+)`", chapter("Tables and views")))


@pytest.mark.parametrize("table", ["spans", "trace_times", "senders", "losses", "events"])
def test_columns_are_all_there(served: Any, table: str) -> None:
    """
    Every column of a table is described in its chapter.
    """
    named = set(re.findall(r"`(\w+)`", chapter(f"`{table}`")))

    columns = {row["name"] for row in served.store.query(f"DESCRIBE TABLE {table}")}

    assert columns <= named


def test_calls_has_the_columns_of_spans_and_three_more(served: Any) -> None:
    """
    As the page says.
    """
    spans, calls = (
        {row["name"] for row in served.store.query(f"DESCRIBE TABLE {table}")} for table in ("spans", "calls")
    )

    assert calls - spans == {"recorded_at", "keys", "digests"}


def test_limits_are_those_of_the_program() -> None:
    """
    What one query may take is told as it is.
    """
    said = " ".join(chapter("What a reader may do").split())

    assert Limits() == Limits(30.0, 1_000_000, 256 << 20, 1 << 30, 2)
    assert "30 s, 1 GiB of memory, two threads, and return 1,000,000 rows or 256 MiB" in said
