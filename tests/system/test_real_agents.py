"""
Agents of frameworks that nobody here wrote, with real tools on a real database.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("example", ["pydantic_ai_agent", "langgraph_agent"])
def test_a_framework_agent_is_on_record_step_by_step(example: str, serve: Any, pagers: Any, eventually: Any) -> None:
    """
    Each call is on record before it runs, under its agent, with the thought that led to it; destruction pages once.
    """
    database = serve.folder / "shop.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE customers (id)")
        db.execute("CREATE TABLE customers_old (id)")

    agent = subprocess.run(
        [sys.executable, EXAMPLES / f"{example}.py", database],
        env=serve.agent_environment(serve.key("production")), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (agent.returncode, agent.stdout) == (0, "Done.\n"), agent.stderr
    with sqlite3.connect(database) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("customers_old",)]
    calls = (
        "SELECT tool, agent_path, reasoning, effect, outcome, arguments, received_at >= ts, tool_started_at > ts "
        "FROM spans WHERE operation = 'execute_tool' ORDER BY ts"
    )
    rows = eventually(lambda: len(found := serve.sql(calls)) == 3 and all(row[4] for row in found) and found)
    clean_up = ("delegate", "janitor", "A cleaner should do this.", "write", "ok", {"task": "clean up"})
    look = ("list_tables", "janitor > cleaner", "customers_old looks stale, and customers too.", "read", "ok", {})
    drop = (
        "drop_table",
        "janitor > cleaner",
        "Dropping customers frees space.",
        "destructive",
        "ok",
        {"name": "customers"},
    )
    assert [(*row[:5], json.loads(row[5])) for row in rows] == [clean_up, look, drop]
    assert all(row[6] and row[7] for row in rows)
    traces = "SELECT uniqExact(trace_id) FROM spans WHERE service = 'billing-janitor' AND operation != 'sender'"
    assert serve.sql(traces) == [(1,)]
    ((acknowledged_first,),) = serve.sql(
        "SELECT acknowledged_at <= tool_started_at AND acknowledged_at > ts FROM spans WHERE tool = 'drop_table'"
    )
    assert acknowledged_first
    eventually(lambda: pagers.pagerduty and pagers.slack)
    assert [page["payload"]["component"] for page in pagers.pagerduty] == ["drop_table"]
    assert len(pagers.slack) == 1
