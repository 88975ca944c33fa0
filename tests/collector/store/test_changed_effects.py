"""A call whose end came under another effect than its start, as when a tool list changes meanwhile, is one call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forewarn_collector.store.clickhouse import EmbeddedStore

DATABASE = "test_changed_effects"


@pytest.fixture(scope="module")
def changed(store_home: Path, otlp: Any) -> Iterator[EmbeddedStore]:
    """One call that began as `read`, as `write` when its start came once more, and ended as `destructive`."""
    store = EmbeddedStore(store_home, database=DATABASE)
    store.migrate()
    recent = replace(otlp, start_ns=time.time_ns())
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "drop_table"}
    records = [
        recent.record(recent.span(1, attributes=told | {"forewarn.effect": effect}, **ended))
        for effect, ended in (
            ("read", {"end_time_unix_nano": 0}),
            ("write", {"end_time_unix_nano": 0}),
            ("destructive", {}),
        )
    ]
    for number, record in enumerate(records):
        store.insert_spans([record], token=str(number))
    yield store
    store.query(f"DROP DATABASE {DATABASE} SYNC")
    store.close()


def test_it_has_ended(changed: EmbeddedStore) -> None:
    """
    Nobody looks for the end of a call that has one.
    """
    assert len(changed.query("started-never-ended")) == 0


def test_it_is_counted_once(changed: EmbeddedStore) -> None:
    """
    Under the effect that it ended with.
    """
    found = [(row["effect"], row["calls"], row["unfinished"]) for row in changed.query("calls-by-tool")]

    assert found == [("destructive", 1, 0)]


def test_its_trace_shows_it_once(changed: EmbeddedStore, otlp: Any) -> None:
    """
    With the time at which its first start was recorded.
    """
    (trace,) = changed.query("traces")

    assert len(changed.query("trace", {"prefix": trace["trace_id"]})) == 1
