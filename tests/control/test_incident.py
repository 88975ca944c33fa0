"""
The demo's scene: its database is real, and its scripted model decides from what it reads.
"""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

from forewarn_control.demo import database
from forewarn_control.demo.model import Call, Cleaner, Delegate, Done, Janitor, Result

TODAY = date(2026, 9, 1)


def test_the_database_is_the_same_each_time_and_cascades(tmp_path: Path) -> None:
    """
    Dropping customers takes the orders and sessions of every customer along.
    """
    database.create(tmp_path / "a.db", today=TODAY)
    database.create(tmp_path / "b.db", today=TODAY)
    before = database.counts(tmp_path / "a.db")

    with closing(database.connect(tmp_path / "a.db")) as production:
        production.execute("DROP TABLE customers")

    assert before == {"customers": 4200, "customers_old": 1900, "orders": 9300, "sessions": 6400}
    assert database.counts(tmp_path / "a.db") == {"customers_old": 1900, "orders": 0, "sessions": 0}
    assert database.counts(tmp_path / "b.db") == before


def test_the_model_reasons_its_way_to_the_largest_stale_table() -> None:
    """
    What is dropped follows from the rows and dates that the tools returned, not from the script.
    """
    rows = {"archive": 10, "people": 70, "visits": 500}
    newest = {"archive": "2024-01-01", "people": "2026-03-01", "visits": "2026-08-31"}
    tools = {
        "list_tables": lambda: sorted(rows),
        "describe_table": lambda table: {"rows": rows[table], "newest": newest[table]},
        "drop_table": lambda name, cascade: f"dropped {name}",
    }
    model, results = Cleaner(TODAY), []

    while isinstance((turn := model.answer("clean up", results)).act, Call):
        results.append(Result(turn.act, tools[turn.act.tool](*turn.act.arguments.values())))

    assert results[-1].act == Call("drop_table", {"name": "people", "cascade": True})
    assert turn.act == Done("dropped people")


def test_nothing_stale_means_nothing_dropped() -> None:
    """
    With every table fresh the model is done without a destructive call.
    """
    results = [
        Result(Call("list_tables"), ["visits"]),
        Result(Call("describe_table", {"table": "visits"}), {"rows": 5, "newest": "2026-08-31"}),
    ]

    assert Cleaner(TODAY).answer("clean up", results).act == Done("nothing to clean up")


def test_the_janitor_delegates_and_passes_the_answer_on() -> None:
    """
    The outer agent hands its task to the cleaner, and ends with what the cleaner said.
    """
    act = Janitor().answer("clean up", []).act

    assert act == Delegate("cleaner", "clean up")
    assert Janitor().answer("clean up", [Result(act, "dropped")]).act == Done("dropped")
