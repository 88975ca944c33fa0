"""Every named question is answered on real data."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from forewarn.conventions import ENVIRONMENT_ALIASES, Stamp, Topic
from forewarn_collector.log.interface import Record
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.interface import BadQuery
from forewarn_collector.store.library import named_queries, parse

SAID = {
    "gen_ai.operation.name": "execute_tool",
    "forewarn.agent.path": "janitor > cleaner",
    "gen_ai.agent.name": "cleaner",
}
TRACE = "ab" + "0" * 30
JOINED_TRACE = "cd" + "0" * 30
OWN_TRACE = "ee" + "0" * 30
NEEDED = {"prefix": TRACE[:3], "words": "stale customers"}


@pytest.fixture(scope="module")
def asked(store_home: Path, otlp: Any) -> Iterator[EmbeddedStore]:
    """A trace with a read call, two destructive ones of which one never ended, and a refused one; incident, loss."""
    store = EmbeddedStore(store_home, database="test_queries")
    store.migrate()
    now = time.time_ns() - 60_000_000_000
    recent = replace(otlp, start_ns=now)
    calls = [
        ("list_tables", "read", {"forewarn.outcome": "ok"}, True),
        (
            "drop_table",
            "destructive",
            {"forewarn.outcome": "ok", "gen_ai.tool.call.arguments": '{"name":"customers"}'},
            True,
        ),
        ("drop_table", "destructive", {"forewarn.reasoning": "customers_old looks stale, and customers too"}, False),
        ("send_mail", "unknown", {"forewarn.outcome": "refused", "error.type": "NotRecorded"}, True),
    ]
    spans = [
        recent.span(
            number,
            trace_id=bytes.fromhex(TRACE),
            start_time_unix_nano=now + number,
            end_time_unix_nano=now + number + 4_000_000 if ended else 0,
            attributes=SAID | {"gen_ai.tool.name": tool, "forewarn.effect": effect, "forewarn.sequence": number} | more,
        )
        for number, (tool, effect, more, ended) in enumerate(calls, start=1)
    ]
    lost = {"forewarn.lost.sequences": "5", "forewarn.lost.reason": "spool_full", "forewarn.sequence": 6}
    lost |= {"gen_ai.operation.name": "loss"}
    spans.append(recent.span(6, trace_id=bytes.fromhex(OWN_TRACE), start_time_unix_nano=now, attributes=lost))
    told = {"service.name": "janitor", "service.instance.id": "one", "deployment.environment": "Dev"}
    store.insert_spans([recent.record(*spans, resource=told)], token="1")
    again = recent.record(spans[0], resource=told | {"deployment.environment": "production"})
    store.insert_spans([replace(again, headers={**again.headers, Stamp.KEY_ID: b"production_2"})], token="2")
    happened = [
        {"kind": "incident.opened"},
        {"kind": "delivery.sent", "target": "oncall", "target_type": "pagerduty"},
        {"kind": "delivery.failed", "target": "#agents", "target_type": "slack"},
    ]
    shared = {"time_unix_nano": now, "trace_id": TRACE, "incident": "i1", "rule": "destructive-in-production"}
    joined = {"kind": "incident.hit", "trace_id": JOINED_TRACE}
    events = [orjson.dumps(shared | event | {"id": str(number)}) for number, event in enumerate([*happened, joined])]
    refused = {"id": "r", "kind": "records.rejected", "time_unix_nano": now, "environment": "production"}
    refused |= {"service": "janitor", "detail": {"sender": "one", "numbers": "7", "reason": "no OTLP"}}
    events.append(orjson.dumps(refused))
    store.insert_events([Record(Topic.EVENTS, 0, number, event) for number, event in enumerate(events)], token="1")
    yield store
    store.query("DROP DATABASE test_queries SYNC")
    store.close()


@pytest.mark.parametrize("name", sorted(named_queries()))
def test_each_question_is_answered(asked: EmbeddedStore, name: str) -> None:
    """
    Every packaged file runs with its defaults and finds what is there.
    """
    needed = {
        key: NEEDED[key] for key in ("prefix", "words") if key in {p.name for p in named_queries()[name].parameters}
    }

    rows = asked.query(name, needed)

    assert len(rows) >= 1
    assert named_queries()[name].purpose.endswith(".")


@pytest.mark.parametrize(
    ("name", "parameters", "column", "expected"),
    [
        ("trace", {"prefix": "ab"}, "tool", ["list_tables", "drop_table", "drop_table", "send_mail"]),
        ("trace", {"prefix": "ac"}, "tool", []),
        ("trace-ids", {"prefix": "AB0"}, "trace_id", [TRACE]),
        ("trace-events", {"prefix": TRACE}, "kind", ["incident.opened", "delivery.sent", "delivery.failed"]),
        ("trace-events", {"prefix": "cd"}, "trace_id", [TRACE, TRACE, TRACE, JOINED_TRACE]),
        ("traces", {"destructive": 1}, "destructive", [2]),
        ("traces", {"agent": "janitor", "tool": "send_mail"}, "unfinished", [1]),
        ("traces", {"tool": "other"}, "trace_id", []),
        ("traces", {"since": 1}, "trace_id", []),
        ("destructive-calls", {}, "outcome", ["refused", "not on record", "ok"]),
        ("destructive-calls", {"environment": "test"}, "outcome", []),
        ("started-never-ended", {}, "span_id", ["0" * 15 + "3"]),
        ("started-never-ended", {"after": 3600}, "span_id", []),
        ("calls-by-tool", {}, "calls", [2, 1, 1]),
        ("agents", {}, "path", ["janitor > cleaner"]),
        ("reasoning-search", {"words": "stale customers"}, "tool", ["drop_table"]),
        ("reasoning-search", {"words": "stale users"}, "tool", []),
        ("incidents", {}, "told", [["oncall"]]),
        ("incidents", {}, "failed", [["#agents"]]),
        ("refused-calls", {}, "error_type", ["NotRecorded"]),
        ("environment-mismatch", {}, "claimed", ["Dev"]),
        ("senders", {}, "last_sequence", [6, 1]),
        ("traces", {}, "trace_id", [TRACE]),
        ("sender-numbers", {}, "received", [5]),
        ("sender-numbers", {"sender": "on"}, "issued", [6]),
        ("sender-numbers", {"sender": "two"}, "issued", []),
        ("gaps", {}, "first", [5]),
        ("gaps", {"sender": "one", "service": "janitor", "environment": "production"}, "last", [5]),
        ("gaps", {"environment": "test"}, "records", []),
        ("gaps", {"since": 1}, "records", []),
        ("losses", {}, "numbers", ["5"]),
        ("losses", {"service": "other"}, "numbers", []),
        ("rejected-records", {}, "numbers", ["7"]),
        ("rejected-records", {"sender": "two"}, "numbers", []),
    ],
)
def test_what_is_asked_is_what_is_answered(
    asked: EmbeddedStore, *, name: str, parameters: dict[str, Any], column: str, expected: list[Any]
) -> None:
    """
    Each question finds its case, and leaves out what it does not ask for.
    """
    assert [row[column] for row in asked.query(name, parameters)] == expected


def test_a_wrong_parameter_is_named(asked: EmbeddedStore) -> None:
    """
    An unknown and a missing parameter are told, with what there is.
    """
    with pytest.raises(BadQuery, match="trace has no parameter id; it has: prefix"):
        asked.query("trace", {"id": "a"})
    with pytest.raises(BadQuery, match="trace needs prefix"):
        asked.query("trace")


def test_header_and_text_agree() -> None:
    """
    A file that describes other parameters than it uses is a fault of ours.
    """
    with pytest.raises(ValueError, match=r"uses \['a'\] and describes \['b'\]"):
        parse("x", "-- Purpose.\n-- parameter b: nothing\nSELECT {a:String}")


def test_the_aliases_of_environments_are_those_of_the_conventions() -> None:
    """
    SQL and Python know the same other names of an environment.
    """
    sql = named_queries()["environment-mismatch"].sql

    known, meant = (re.findall(r"'(\w+)'", found) for found in re.findall(r"\[(.*?)\]", sql, re.DOTALL))

    assert dict(zip(known, meant, strict=True)) == ENVIRONMENT_ALIASES
