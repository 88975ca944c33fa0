"""
What happened in a trace, in order, for somebody who is tired: reasoning, call, arguments, outcome, who was paged.

`timeline` decides (rows of the store in, entries out) and `as_json` writes them down; how they look on a terminal is
`timeline_view`. Instants are Unix nanoseconds. Times of the agent and of the gateway come from two clocks: differences
between them are shown as measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from forewarn.conventions import OPERATION_EXECUTE_TOOL, OPERATION_REASON, Outcome
from forewarn_collector.holes import Hole

Row = Mapping[str, Any]


class Kind(StrEnum):
    """What an entry tells."""

    REASONING = "reasoning"
    CALL = "call"
    SPAN = "span"
    ALARM = "alarm"
    JOINED = "joined"
    PAGED = "paged"
    NOT_PAGED = "not_paged"
    UNKNOWN_OUTCOME = "unknown_outcome"


TARGET_NAMES: Final = {"pagerduty": "PagerDuty", "slack": "Slack", "webhook": "webhook", "console": "console"}


@dataclass(frozen=True, slots=True)
class Told:
    """One target of a page. `after_ms`: since the call that it is about started, where that is of this trace."""

    target: str
    target_type: str
    at_ns: int
    after_ms: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One line of the story. Empty text and None: nothing on record.

    `recorded_ns`: when the start record reached the gateway, by its clock. `acknowledged_after_ms` and `ran_after_ms`
    count from `at_ns`, all three by the agent's clock: that the first is the smaller needs no second clock to agree.
    `told`: the targets that were told, or were not; of a joined incident, those that were told of it.
    """

    kind: Kind
    at_ns: int
    who: str
    what: str
    span_id: str = ""
    effect: str = ""
    outcome: str = ""
    error: str = ""
    result: str = ""
    took_ms: float | None = None
    recorded_ns: int | None = None
    acknowledged_after_ms: float | None = None
    ran_after_ms: float | None = None
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """A whole trace."""

    trace_id: str
    environment: str
    environment_claimed: str
    service: str
    entries: tuple[Entry, ...]
    holes: tuple[Hole, ...] = ()


def timeline(rows: Iterable[Row], events: Iterable[Row], holes: Iterable[Hole] = ()) -> Timeline:
    """`rows` of the query `trace` (at least one) and `events` of `trace-events`, both of one trace."""
    spans = list(rows)
    starts = {span["span_id"]: span["started_ns"] for span in spans}
    entries = [entry for span in spans for entry in _span_entries(span)]
    first = spans[0]
    entries += _event_entries(sorted(events, key=_event_order), starts, first["trace_id"])
    return Timeline(
        trace_id=first["trace_id"],
        environment=first["environment"],
        environment_claimed=first["environment_claimed"],
        service=first["service"],
        entries=tuple(sorted(entries, key=lambda entry: entry.at_ns)),
        holes=tuple(holes),
    )


def as_json(story: Timeline) -> dict[str, Any]:
    """The same as plain data."""
    return asdict(story)


def _span_entries(span: Row) -> list[Entry]:
    kind = _kind(span)
    finished = span["record"] == "end"
    entry = Entry(
        kind=kind,
        at_ns=span["started_ns"],
        who=span["agent_path"] or span["agent"] or span["service"],
        what=_what(kind, span),
        span_id=span["span_id"],
        effect=span["effect"],
        outcome=span["outcome"],
        error=_error(span),
        result=span["result"],
        took_ms=_milliseconds(span["started_ns"], span["ended_ns"]) if finished else None,
        recorded_ns=span["recorded_ns"] or None,
        acknowledged_after_ms=_milliseconds(span["started_ns"], span["acknowledged_ns"]),
        ran_after_ms=_milliseconds(span["started_ns"], span["tool_started_ns"]),
    )
    if kind is Kind.SPAN and span["reasoning"]:
        thought = replace(entry, kind=Kind.REASONING, what=str(span["reasoning"]), result="", error="", took_ms=None)
        return [entry, thought]
    if finished or kind is Kind.REASONING:
        return [entry]
    unknown = Entry(Kind.UNKNOWN_OUTCOME, entry.at_ns, entry.who, "started, no end on record", span_id=entry.span_id)
    return [entry, unknown]


def _kind(span: Row) -> Kind:
    if span["operation"] == OPERATION_REASON:
        return Kind.REASONING
    if span["operation"] == OPERATION_EXECUTE_TOOL or (not span["operation"] and span["tool"]):
        return Kind.CALL
    return Kind.SPAN


def _what(kind: Kind, span: Row) -> str:
    if kind is Kind.REASONING:
        return str(span["reasoning"] or span["name"])
    if kind is Kind.CALL:
        return f"{span['tool']}({_arguments(span['arguments'])})"
    return str(span["name"])


def _arguments(text: str) -> str:
    """`name="customers", cascade=true`; text that is no JSON object stays as it is."""
    try:
        arguments = json.loads(text) if text else {}
    except ValueError:
        return text
    if not isinstance(arguments, dict):
        return text
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())


def _error(span: Row) -> str:
    if span["status_code"] != "Error" and span["outcome"] in ("", Outcome.OK):
        return ""
    return ": ".join(part for part in (span["error_type"], span["status_message"]) if part)


def _event_order(event: Row) -> tuple[str, str, int]:
    return event["incident"], event["span_id"], event["time_ns"]


def _event_entries(events: Sequence[Row], starts: Mapping[str, int], trace_id: str) -> list[Entry]:
    """Deliveries about one call of one incident are one entry: people ask who was told, not how often."""
    entries: list[Entry] = []
    of_this_trace = [event for event in events if event["trace_id"] == trace_id]
    for (incident, span_id), about in groupby(of_this_trace, key=lambda event: (event["incident"], event["span_id"])):
        happened = list(about)
        for event in happened:
            what = f"{event['rule']} ({event['severity']})"
            if event["kind"] == "incident.opened":
                entries.append(Entry(Kind.ALARM, event["time_ns"], "alarm", what, span_id=span_id))
            elif event["kind"] == "incident.hit":
                told = _told_of(incident, events)
                joined = f"{what} joined {incident}"
                entries.append(Entry(Kind.JOINED, event["time_ns"], "alarm", joined, span_id=span_id, told=told))
        for kind, event_kind in ((Kind.PAGED, "delivery.sent"), (Kind.NOT_PAGED, "delivery.failed")):
            deliveries = [event for event in happened if event["kind"] == event_kind]
            if deliveries:
                told = tuple(_told(event, starts.get(span_id)) for event in deliveries)
                what = ", ".join(f"{each.target} via {each.target_type}" for each in told)
                entries.append(Entry(kind, deliveries[0]["time_ns"], "", what, span_id=span_id, told=told))
    return entries


def _told_of(incident: str, events: Sequence[Row]) -> tuple[Told, ...]:
    sent = (event for event in events if event["incident"] == incident and event["kind"] == "delivery.sent")
    return tuple(_told(event, None) for event in sent)


def _told(event: Row, started_ns: int | None) -> Told:
    detail = json.loads(event["detail"] or "{}")
    reason = str(detail.get("reason") or detail.get("error") or "") if isinstance(detail, dict) else ""
    after_ms = None if started_ns is None else round((event["time_ns"] - started_ns) / 1e6, 3)
    target_type = str(event["target_type"])
    return Told(event["target"], TARGET_NAMES.get(target_type, target_type), event["time_ns"], after_ms, reason)


def _milliseconds(start_ns: int, end_ns: int) -> float | None:
    return round((end_ns - start_ns) / 1e6, 3) if end_ns else None
