"""THE DEMO, to be read from top to bottom: the scene, the agent, the page, the timeline, the times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from forewarn_collector.store.reader import Reader
from forewarn_collector.timeline import as_json
from forewarn_collector.timeline_view import timeline_view
from forewarn_control.demo import database, witness
from forewarn_control.demo.receivers import Page
from forewarn_control.demo.report import Report, broken_promises
from forewarn_control.demo.screens import pagerduty_screen, slack_screen
from forewarn_control.demo.stage import Stage, agent_events, stage
from forewarn_control.demo.story import Story, call_text
from forewarn_control.errors import DemoFailed

TOOL: Final = "drop_table"
_NOT_REAL: Final = "a local receiver, not the real service"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known once the agent has ended: from the database, the log and the receivers."""

    before: Mapping[str, int]
    recorded: witness.Recorded
    pages: Mapping[str, Page]


def play(story: Story, *, pause_s: float, at_the_end: Callable[[Stage, Report], None]) -> None:
    """Run, show and check it; raise DemoFailed with the step that was not as promised. All is up `at_the_end`."""
    began = time.monotonic()
    story.chapter("1  The scene")
    with stage() as scene:
        before = database.counts(scene.database)
        _introduce(story, scene, before, time.monotonic() - began)

        story.chapter("2  The agent: a real process, a real database, a scripted model")
        recorded = _watch_agent(story, scene, pause_s)

        story.chapter("3  Somebody is woken")
        pages = _collect_pages(story, scene, recorded)

        story.chapter("4  Afterwards, from the store: forewarn traces show")
        report = _reconstruct(story, scene, Seen(before, recorded, pages))

        story.chapter("5  What is lost, and when each thing happened")
        story.damage(report)
        story.times(report)
        broken = list(broken_promises(report))
        if broken:
            raise DemoFailed("the demo did not show what it promises", "; ".join(broken))
        at_the_end(scene, report)


def _introduce(story: Story, scene: Stage, before: Mapping[str, int], took_s: float) -> None:
    endpoints = scene.serving.endpoints
    story.fact("pipeline", f"up in {took_s:.1f} s, all of it in this process, on free ports")
    story.fact("agents send to", endpoints.http)
    story.fact("readers ask", endpoints.store)
    for receiver in scene.receivers:
        story.fact(f"pages to {receiver.name}", f"{receiver.url} ({_NOT_REAL})")
    story.fact("production database", ", ".join(f"{table} {rows:,}" for table, rows in before.items()))


def _watch_agent(story: Story, scene: Stage, pause_s: float) -> witness.Recorded:
    """Show every step as the agent's process tells it, and what the log already held when the tool began."""
    recorded = None
    with witness.of_starts(scene.house.log) as starts:
        for event in agent_events(scene, pause_s=pause_s):
            if event["event"] == "tool_runs":
                recorded = witness.recorded(starts, TOOL)
                ahead_ms = (event["at_ns"] - recorded.at_ns) / 1e6
                said = f"the call of {TOOL} was put on record {ahead_ms:.1f} ms before the tool's first line"
                story.recorder(recorded.at_ns, said)
            story.agent(event)
            if event["event"] == "refused":
                raise DemoFailed("the agent's call was refused, although the pipeline is up", str(event["text"]))
    if recorded is None:
        raise DemoFailed("the agent ended without the destructive call", "its steps are shown above")
    return recorded


def _collect_pages(story: Story, scene: Stage, recorded: witness.Recorded) -> dict[str, Page]:
    pages = {name: witness.paged(receiver, recorded.trace_id) for name, receiver in scene.receivers._asdict().items()}
    for name, draw in (("pagerduty", pagerduty_screen), ("slack", slack_screen)):
        service, page = getattr(scene.receivers, name).name, pages[name]
        after_ms = (page.received_at_ns - recorded.at_ns) / 1e6
        story.show(draw(page.body, f"{service}, {after_ms:.1f} ms after the record (local receiver)"))
    return pages


def _reconstruct(story: Story, scene: Stage, seen: Seen) -> Report:
    endpoints = scene.serving.endpoints
    with closing(Reader(endpoints.store, endpoints.reader.user, endpoints.reader.password)) as reader:
        call, stored_at_ns = witness.stored(reader, TOOL)
        witness.journalled(reader, len(seen.pages))
        timeline = witness.timeline(reader, seen.recorded.trace_id)
    story.show(timeline_view(timeline, zone=datetime.now().astimezone().tzinfo or UTC))
    arguments = json.loads(call["arguments"])
    table, after = arguments["name"], database.counts(scene.database)
    rows = {name: {"before": count, "after": after.get(name, 0)} for name, count in seen.before.items()}
    return Report(
        trace_id=call["trace_id"],
        span_id=call["span_id"],
        tool=call["tool"],
        arguments=arguments,
        call=call_text(call["tool"], arguments),
        effect=call["effect"],
        environment=call["environment"],
        outcome=call["outcome"],
        recorded_at_ns=seen.recorded.at_ns,
        acknowledged_at_ns=call["acknowledged_at_ns"],
        tool_started_at_ns=call["tool_started_at_ns"],
        tool_ended_at_ns=call["ended_at_ns"],
        page_received_at_ns={name: page.received_at_ns for name, page in seen.pages.items()},
        stored_at_ns=stored_at_ns,
        table=table,
        rows_before=rows[table]["before"],
        rows_after=rows[table]["after"],
        rows=rows,
        receivers={name: f"{receiver.url}: {_NOT_REAL}" for name, receiver in scene.receivers._asdict().items()},
        pages={name: page.body for name, page in seen.pages.items()},
        timeline=as_json(timeline)["entries"],
    )
