"""The story of a trace: what is told, in which order, and how it looks."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from forewarn_collector.timeline import Kind, Timeline, as_json, timeline
from forewarn_collector.timeline_view import timeline_view

START = 1_790_000_000_000_000_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(number: int, after_ms: float, took_ms: float | None = 3, **fields: Any) -> dict[str, Any]:
    started = START + int(after_ms * 1e6)
    row = {
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "started_ns": started,
        "ended_ns": started + int(took_ms * 1e6) if took_ms is not None else 0,
        "recorded_ns": started + 200_000,
        "acknowledged_ns": 0,
        "tool_started_ns": 0,
        "record": "start" if took_ms is None else "end",
        "name": "",
        "agent": "cleaner",
        "agent_path": "janitor > cleaner",
        "service": "billing-janitor",
        "environment": "production",
        "environment_claimed": "dev",
        "status_code": "Unset",
    }
    texts = [
        "operation",
        "tool",
        "arguments",
        "result",
        "reasoning",
        "effect",
        "outcome",
        "status_message",
        "error_type",
    ]
    return dict.fromkeys(texts, "") | row | fields


def event(kind: str, after_ms: float, **fields: Any) -> dict[str, Any]:
    row = {
        "kind": kind,
        "trace_id": TRACE,
        "time_ns": START + int(after_ms * 1e6),
        "incident": "i1",
        "span_id": f"{3:016x}",
        "detail": "{}",
    }
    return row | {"rule": "destructive-in-production", "severity": "critical", "target": "", "target_type": ""} | fields


SPANS = [
    span(1, 0, 12_400, operation="invoke_agent", name="invoke_agent janitor", agent_path="janitor"),
    span(2, 902, 0, operation="reason", reasoning="customers_old looks stale,\nand customers too"),
    span(
        5, 1793, 3, operation="execute_tool", tool="list_tables", effect="read", outcome="ok", result='["customers"]',
    ),
    span(
        3, 4291, None, operation="execute_tool", tool="drop_table", effect="destructive",
        arguments='{"name": "customers", "cascade": true}',
    ),
    span(
        4, 5000, 1, operation="execute_tool", tool="send_mail", effect="unknown", outcome="refused",
        status_code="Error", error_type="NotRecorded", status_message="the record is not durable",
        acknowledged_ns=START + 5_001_300_000,
    ),
]  # fmt: skip
EVENTS = [
    event("delivery.sent", 4295, target="#agents", target_type="slack"),
    event("incident.opened", 4292),
    event("delivery.sent", 4294.1, target="oncall", target_type="pagerduty"),
    event("delivery.failed", 4299, target="hook", target_type="webhook", detail='{"reason": "503"}'),
]


def shown(story: Timeline, width: int = 200, **console: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=width, **console).print(timeline_view(story))
    return out.getvalue()


def test_a_model_that_says_what_it_thought_reasons_before_its_calls() -> None:
    """
    Reasoning on the span of a model's answer is a step of its own, between that span and the call it led to.
    """
    asked = span(1, 0, name="chat m", operation="chat", reasoning="customers looks stale")
    call = span(2, 5, operation="execute_tool", tool="drop_table", reasoning="customers looks stale")

    entries = timeline([asked, call], []).entries

    assert [(entry.kind, entry.what, entry.who) for entry in entries] == [
        (Kind.SPAN, "chat m", "janitor > cleaner"),
        (Kind.REASONING, "customers looks stale", "janitor > cleaner"),
        (Kind.CALL, "drop_table()", "janitor > cleaner"),
    ]


def test_entries_are_in_the_order_of_events() -> None:
    """
    Every span, page and open end has its line, and lines follow time.
    """
    story = timeline(SPANS, EVENTS)

    assert [entry.kind for entry in story.entries] == [
        Kind.SPAN,
        Kind.REASONING,
        Kind.CALL,
        Kind.CALL,
        Kind.UNKNOWN_OUTCOME,
        Kind.ALARM,
        Kind.PAGED,
        Kind.NOT_PAGED,
        Kind.CALL,
    ]


def test_a_page_says_who_and_how_long_after_the_call() -> None:
    """
    The latency counts from the start of the call that the page is about.
    """
    story = timeline(SPANS, EVENTS)

    (paged,) = (entry for entry in story.entries if entry.kind is Kind.PAGED)

    assert [(told.target, told.target_type, told.after_ms) for told in paged.told] == [
        ("oncall", "PagerDuty", 3.1),
        ("#agents", "Slack", 4.0),
    ]


def test_the_story_reads_from_top_to_bottom() -> None:
    """
    Arguments, results, refusals and open ends are told in words.
    """
    reason = "NotRecorded: the record is not durable"
    acknowledged = "recorded 14:13:25.000, acknowledged +1.3 ms, took 1.0 ms"

    lines = shown(timeline(SPANS, EVENTS)).splitlines()

    assert lines[0].startswith(
        f"trace {TRACE}  2026-09-21 UTC  production  service billing-janitor  (it says of itself: dev)"
    )
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "14:13:20.000 janitor invoke_agent janitor 12.4 s",
        r"14:13:20.902 janitor > cleaner reasons: customers_old looks stale,\nand customers too",
        '14:13:21.793 janitor > cleaner list_tables() -> ["customers"] read 3.0 ms',
        '14:13:24.291 janitor > cleaner drop_table(name="customers", cascade=true) destructive recorded 14:13:24.291',
        "outcome unknown started, no end on record",
        "14:13:24.292 alarm destructive-in-production (critical)",
        "14:13:24.294 paged oncall via PagerDuty (+3.1 ms), #agents via Slack (+4.0 ms)",
        "14:13:24.299 NOT paged hook via webhook (+8.0 ms): 503",
        f"14:13:25.000 janitor > cleaner send_mail() -> refused: {reason}",
        f"unknown {acknowledged}",
    ]


@pytest.mark.parametrize("days_ago", [0, 1])
def test_a_call_that_joined_an_incident_says_who_was_paged_and_when(days_ago: int) -> None:
    """
    Nobody is woken twice for one incident: its page came with another trace, and is told here with its time.
    """
    opened_ms = 1000 - days_ago * 86_400_000
    elsewhere = {"trace_id": "ee" * 16, "span_id": f"{9:016x}", "incident": "inc-1"}
    events = [
        event("incident.opened", opened_ms, **elsewhere),
        event("delivery.sent", opened_ms + 1000, target="oncall", target_type="pagerduty", **elsewhere),
        event("incident.hit", 4292, incident="inc-1"),
    ]

    story = timeline(SPANS, events)

    (joined,) = (entry for entry in story.entries if entry.kind in (Kind.ALARM, Kind.JOINED, Kind.PAGED))
    assert (joined.kind, joined.span_id, joined.told[0].after_ms) == (Kind.JOINED, f"{3:016x}", None)
    at = "2026-09-20 14:13:22" if days_ago else "14:13:22"
    told = f"destructive-in-production (critical) joined inc-1 (paged oncall via PagerDuty at {at})"
    assert f"14:13:24.292 alarm {told}" in " ".join(shown(story).split())


def test_a_joined_incident_that_paged_nobody_says_so() -> None:
    """
    No page is claimed that is not on record.
    """
    assert "joined i1 (no page of it is on record)" in shown(timeline(SPANS, [event("incident.hit", 4292)]))


def test_what_happened_gets_the_room_on_a_narrow_terminal() -> None:
    """
    At 80 columns effect and times go below the call, which keeps more than half of the line.
    """
    call = span(
        3, 0, 40, operation="execute_tool", tool="drop_table", effect="destructive", outcome="ok",
        arguments='{"name": "customers", "cascade": true}', acknowledged_ns=START + 9_000_000,
        tool_started_ns=START + 9_100_000,
    )  # fmt: skip

    lines = shown(timeline([call], []), width=80).splitlines()

    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert [line.rstrip() for line in lines[-3:]] == [
        '14:13:20.000  janitor >         drop_table(name="customers", cascade=true)',
        "              cleaner           destructive  recorded 14:13:20.000, acknowledged",
        "                                +9.0 ms, before it ran, took 40 ms",
    ]


@pytest.mark.parametrize(("ran_after_ms", "said"), [(9.1, True), (8.9, False), (None, False)])
def test_before_it_ran_is_said_only_where_it_is_so(ran_after_ms: float | None, *, said: bool) -> None:
    """
    The order of acknowledgement and first line of the tool is read from the record, never assumed.
    """
    ran_ns = START + int(ran_after_ms * 1e6) if ran_after_ms else 0
    call = span(3, 0, effect="destructive", tool="t", acknowledged_ns=START + 9_000_000, tool_started_ns=ran_ns)

    assert ("acknowledged +9.0 ms, before it ran" in shown(timeline([call], []))) is said


def test_a_call_without_a_start_on_record_claims_none() -> None:
    """
    `recorded` is the arrival of the start record; where there was none, nothing is said of it.
    """
    call = span(3, 0, effect="destructive", tool="t", recorded_ns=0)

    assert "recorded" not in shown(timeline([call], []))


def test_colours_only_on_a_terminal() -> None:
    """
    What goes into a file or a pipe holds no escape codes.
    """
    story = timeline(SPANS, EVENTS)

    assert "\x1b" not in shown(story)
    assert "\x1b[1;31m" in shown(story, force_terminal=True, color_system="standard")


def test_a_trace_cannot_write_on_the_terminal() -> None:
    """
    Control characters and markup in what an agent sent are shown, not obeyed.
    """
    evil = span(
        1, 0, operation="execute_tool", tool="\x1b[2J[bold]x[/bold]", arguments="\x07[link=http://a]", agent_path="a\rb"
    )

    text = shown(timeline([evil], []), force_terminal=True, color_system="standard")

    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert r"\x1b[2J[bold]x[/bold](\x07[link=http://a])" in text


def test_odd_arguments_are_told_as_they_are() -> None:
    """
    Arguments that are no JSON object, as foreign senders have them, are shown whole.
    """
    rows = [
        span(number, 0, tool="t", arguments=text)
        for number, text in enumerate(["[1]", "{'a': 1}", '{"a": [1, {"b": null}]}'])
    ]

    assert [entry.what for entry in timeline(rows, []).entries] == ["t([1])", "t({'a': 1})", 't(a=[1, {"b": null}])']


def test_it_is_plain_data() -> None:
    """
    The same story for programs.
    """
    document = json.loads(json.dumps(as_json(timeline(SPANS, EVENTS))))

    assert document["trace_id"] == TRACE
    assert document["entries"][3]["what"] == 'drop_table(name="customers", cascade=true)'
    assert document["entries"][6]["told"][0] == {
        "target": "oncall",
        "target_type": "PagerDuty",
        "at_ns": START + 4_294_100_000,
        "after_ms": 3.1,
        "reason": "",
    }
