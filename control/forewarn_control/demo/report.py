"""What the demo saw, and whether it is what the demo promises. Times are nanoseconds of this machine's clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from forewarn.conventions import Effect, Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The incident, as each part of the system recorded it. Field names are those of `forewarn demo --json`."""

    trace_id: str
    span_id: str
    tool: str
    arguments: Mapping[str, Any]
    call: str
    """The call as people write it."""
    effect: str
    environment: str
    outcome: str
    recorded_at_ns: int
    """When the log appended the start record. It is durable, and only then acknowledged, some moments later."""
    acknowledged_at_ns: int
    """The agent's clock when the acknowledgement arrived: from here on the record is known to be durable."""
    tool_started_at_ns: int
    """The agent's clock right before the tool's own code ran."""
    tool_ended_at_ns: int
    page_received_at_ns: Mapping[str, int]
    """Receiver -> its clock when the request arrived."""
    stored_at_ns: int
    """When a reader of the store first got the finished call."""
    table: str
    rows_before: int
    rows_after: int
    rows: Mapping[str, Mapping[str, int]]
    """Table -> rows before and after, counted in the database by the demo, not by the agent."""
    receivers: Mapping[str, str]
    """Receiver -> where it listened, and that it is not the real service."""
    pages: Mapping[str, Any]
    """Receiver -> the body it received."""
    timeline: list[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def broken_promises(report: Report) -> Iterator[str]:
    """What the demo shows in every run, or fails."""
    if not report.recorded_at_ns < report.tool_started_at_ns:
        yield "the tool started before its record was appended to the log"
    if not report.acknowledged_at_ns <= report.tool_started_at_ns:
        yield "the tool started before its record was acknowledged as durable"
    if (report.effect, report.environment) != (Effect.DESTRUCTIVE, Environment.PRODUCTION):
        yield f"the call is on record as {report.effect} in {report.environment}"
    if not report.rows_before > report.rows_after == 0:
        yield f"{report.table} had {report.rows_before} rows and has {report.rows_after}"
    for receiver, received_at_ns in report.page_received_at_ns.items():
        if received_at_ns < report.recorded_at_ns:
            yield f"{receiver} was paged before the call was on record"
    if not report.timeline:
        yield "the timeline is empty"
