"""Views that are made from tables are made anew when those have changed, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forewarn.conventions import Effect
from forewarn_collector.dialects.table import dialects
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.migrations import renew_views
from forewarn_collector.store.scopes import is_ours
from forewarn_collector.store.unfolding import unfolding_views
from forewarn_collector.tools.tool_list import Entry, ToolList


def test_a_changed_list_of_tools_changes_the_views(store_home: Path) -> None:
    """
    A start with another list makes both views anew; the next start with the same makes none.
    """
    store = EmbeddedStore(store_home, database="test_views")
    store.migrate()
    views = unfolding_views(dialects(), ToolList((Entry(tools=("it's*",), effect=Effect.READ),)))

    renewed = [renew_views(store._statement, views) for _ in range(2)]

    assert renewed == [["unfold_spans", "unfold_spans_of_dialects"], []]
    store.query("DROP DATABASE test_views SYNC")
    store.close()


def test_whose_a_request_is(otlp: Any) -> None:
    """
    Ours is what only our own scope speaks in; another scope anywhere, or bytes that nobody can read, are not.
    """
    ours = otlp.request(otlp.span(1), otlp.span(2))
    mixed = ExportTraceServiceRequest.FromString(ours)
    mixed.resource_spans.add().scope_spans.add().scope.name = "forewarned"

    assert is_ours(ours)
    assert not is_ours(mixed.SerializeToString())
    assert not any(is_ours(ours[:length]) for length in range(1, len(ours)))
    assert not is_ours(b"\xff" * 20)
