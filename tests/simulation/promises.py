"""
The promises, asked of a history that has come to rest. Each is derived from the truth and from what the roles left
behind, never from the code that keeps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import select
from tests.simulation.agents import SERVICE
from tests.simulation.server import RULES, TARGETS, Server
from tests.simulation.truth import Entry, Said, Truth, records_of, sender_of

from forewarn import conventions as c
from forewarn_alerts.tables import HITS, INCIDENTS, OUTBOX

SECOND: Final = 1_000_000_000
_AT_START: Final = {"destructive": "destructive-in-production", "unknown": "unknown-effect-in-production"}
_OVERDUE: Final = "outcome-unknown"
Span = tuple[bytes, bytes]


def check(truth: Truth, server: Server, folder: Path) -> None:
    """Note every promise that was broken."""
    _stored_once(truth, server)
    _numbers_are_explained(truth, server)
    _start_comes_first(truth)
    _nothing_is_left(truth, folder)
    _hits_are_those_of_the_log(truth, server)
    _one_page_an_incident(truth, server)


def _stored_once(truth: Truth, server: Server) -> None:
    """What was acknowledged, and what was spooled on a disk that lives, is stored; every log record by one insert."""
    store = server.store
    stored = {said for _, said in store.records}
    buried = _buried(truth)
    for said in truth.acknowledged - stored - buried - truth.unburied:
        truth.broken(f"acknowledged and not stored: {_name(said)}")
    lost = _told_losses(truth)
    for said in truth.spooled.keys() - stored - buried - truth.unburied - truth.damaged - truth.never_taken:
        if said.sequence not in lost[said.sender] | truth.senders[said.sender].noted_lost:
            truth.broken(f"spooled and never stored: {_name(said)}")
    for at, times in store.whole_inserts.items():
        if times > 1:
            truth.broken(f"the log record {at} was stored {times} times")


def _numbers_are_explained(truth: Truth, server: Server) -> None:
    """Every number of a sender is of one record; a gap in them is a known loss, or was cut off by a kill."""
    numbers: dict[tuple[str, int], Said] = {}
    for _, said in server.store.records:
        if said.sequence and numbers.setdefault((said.sender, said.sequence), said) != said:
            truth.broken(f"two records have one number: {_name(said)}")
    told = _told_losses(truth)
    elsewhere = {(said.sender, said.sequence) for said in _buried(truth) | truth.unburied | truth.never_taken}
    for sender, life in truth.senders.items():
        here = {n for n in range(1, life.issued + 1) if (sender, n) in numbers or (sender, n) in elsewhere}
        missing = set(range(1, life.issued + 1)) - here - told[sender] - life.gone_with_its_disk
        unexplained = missing - life.noted_lost - life.cut_off
        # One number may be set aside for the loss record that no spool took.
        if len(unexplained) > life.has_untold_losses:
            truth.broken(f"sender {sender} has unexplained gaps: {sorted(unexplained)}")
        if life.has_left_in_order and missing and not (life.has_untold_losses or life.gone_with_its_disk):
            truth.broken(f"sender {sender} left in order and never told of the loss of {sorted(missing)}")
        if server.store.services[sender] - {SERVICE} and not (life.gone_with_its_disk or truth.damaged_headers):
            truth.broken(f"records of {sender} are said to be of {server.store.services[sender]}")
        if told[sender] & {said.sequence for said in truth.heard if said.sender == sender and not said.is_start}:
            truth.broken(f"sender {sender} told of the loss of what it knew to have arrived")


def _start_comes_first(truth: Truth) -> None:
    """In the log, a span's start is before its end, unless its start never came."""
    ended: set[Span] = set()
    started: set[Span] = set()
    for entry in truth.log:
        for said in _said_in(entry) if entry.topic in {c.Topic.STARTS, c.Topic.SPANS} else ():
            key = (said.trace, said.span)
            if not said.is_start:
                ended.add(key)
            elif key in ended and key not in started:
                truth.broken(f"an end came before its start: {_name(said)}")
            if said.is_start:
                started.add(key)


def _nothing_is_left(truth: Truth, folder: Path) -> None:
    """What has arrived takes no room on the senders' disks."""
    from forewarn.recording.segments import SegmentReader

    for path in folder.rglob("*.segment"):
        reader = SegmentReader.open(path)
        if reader is not None:
            truth.broken(f"a segment was left behind: {path.name}")
            reader.close()


def _hits_are_those_of_the_log(truth: Truth, server: Server) -> None:
    """Every call that matters made its hit, whatever crashed, and no other did."""
    starts, ends = _production_calls(truth)
    needed = {(_AT_START[effect], span) for span, (effect, _) in starts.items()}
    allowed = needed | {(_AT_START[effect], span) for span, (effect, _) in ends.items()}
    for span, (_, at_ns) in starts.items():
        if span not in ends:
            needed.add((_OVERDUE, span))
        if span not in ends or truth.has_jumped or ends[span][1] >= at_ns + 60 * SECOND:
            allowed.add((_OVERDUE, span))
    with server.state.engine.connect() as connection:
        found = {_hit(row.key) for row in connection.execute(select(HITS.c.key))}
    for rule, (_, span) in needed - found:
        truth.broken(f"no hit of {rule} for {span.hex()}")
    for rule, (_, span) in found - allowed:
        truth.broken(f"a hit of {rule} for {span.hex()}, which is none")


def _one_page_an_incident(truth: Truth, server: Server) -> None:
    """Each incident has one delivery a target, under one name, and whoever was to be woken was."""
    with server.state.engine.connect() as connection:
        incidents = connection.execute(select(INCIDENTS)).all()
        outbox = connection.execute(select(OUTBOX)).all()
        joined = {row.incident for row in connection.execute(select(HITS.c.incident))}
    wanted = {(row.id, target) for row in incidents for target in TARGETS}
    if wanted != {(row.incident, row.target) for row in outbox} or len(outbox) != len(wanted):
        truth.broken(f"incidents and deliveries differ: {wanted ^ {(row.incident, row.target) for row in outbox}}")
    if {row.id for row in incidents} != joined:
        truth.broken("an incident without a hit")
    for row in outbox:
        is_rejected = row.id in server.targets[row.target].rejected
        # Who was refused and died before that was on record asks again; who wakes up a day later has given up.
        if row.state != "sent" and not (row.state == "failed" and (is_rejected or truth.has_jumped)):
            truth.broken(f"delivery {row.id} ended as {row.state}: {row.answer}")
        if row.state == "sent" and row.target not in truth.pages[row.id]:
            truth.broken(f"nobody was paged by {row.id}")
    strangers = truth.pages.keys() - {row.id for row in outbox}
    if strangers:
        truth.broken(f"pages that no outbox knows: {sorted(strangers)}")
    _apart(truth, incidents)
    _told(truth, server, incidents, outbox)


def _apart(truth: Truth, incidents: Any) -> None:
    """Two incidents of one rule and group are further apart than the rule repeats itself."""
    opened: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in incidents:
        opened[row.rule, row.group_key].append(row.opened_at_ns)
    for (rule, group), times in opened.items():
        repeat_ns = int(RULES.get(rule).repeat_interval.total_seconds() * 1e9)  # type: ignore[union-attr]
        times.sort()
        if any(later - earlier < repeat_ns for earlier, later in pairwise(times)):
            truth.broken(f"two incidents of {rule} for one group: {group!r} at {times}")


def _told(truth: Truth, server: Server, incidents: Any, outbox: Any) -> None:
    """What happened is in the store, as events."""
    events = server.store.events
    for row in incidents:
        if f"{row.id}:opened" not in events:
            truth.broken(f"the opening of {row.id} is no event")
    for row in outbox:
        if row.state != "pending" and f"{row.id}:{row.state}" not in events:
            truth.broken(f"the end of {row.id} is no event")


def _production_calls(truth: Truth) -> tuple[dict[Span, tuple[str, int]], dict[Span, tuple[str, int]]]:
    """First starts and ends, in the log, of production calls that may be destructive: effect, and when."""
    starts: dict[Span, tuple[str, int]] = {}
    ends: dict[Span, tuple[str, int]] = {}
    for entry in truth.log:
        if entry.topic not in {c.Topic.STARTS, c.Topic.SPANS} or entry.environment != "production":
            continue
        for _, span in _spans(entry):
            said = {a.key: a.value.string_value for a in span.attributes}
            effect = said.get(c.EFFECT, "")
            if effect in _AT_START and said.get(c.OPERATION_NAME) == c.OPERATION_EXECUTE_TOOL:
                calls = ends if span.end_time_unix_nano else starts
                calls.setdefault((span.trace_id, span.span_id), (effect, entry.at_ns))
    return starts, ends


def _told_losses(truth: Truth) -> dict[str, set[int]]:
    """Which numbers each sender's loss records name, by the log."""
    told: dict[str, set[int]] = defaultdict(set)
    for entry in truth.log:
        for sender, span in _spans(entry) if entry.topic in {c.Topic.STARTS, c.Topic.SPANS} else ():
            text = next((a.value.string_value for a in span.attributes if a.key == c.LOST_SEQUENCES), "")
            for part in text.split(",") if text else ():
                low, _, high = part.partition("-")
                told[sender].update(range(int(low), int(high or low) + 1))
    return told


def _buried(truth: Truth) -> set[Said]:
    return {said for entry in truth.log if entry.topic == c.Topic.DEAD_LETTERS for said in _said_in(entry)}


def _spans(entry: Entry) -> Iterator[tuple[str, Any]]:
    """Every span and its sender."""
    groups = [] if entry.is_poison else ExportTraceServiceRequest.FromString(entry.value).resource_spans
    for group in groups:
        for scope in group.scope_spans:
            yield from ((sender_of(group), span) for span in scope.spans)


def _said_in(entry: Entry) -> list[Said]:
    return [] if entry.is_poison else list(records_of(entry.value))


def _hit(key: str) -> tuple[str, Span]:
    rule, _, _, trace, span = key.split("/")
    return rule, (bytes.fromhex(trace), bytes.fromhex(span))


def _name(said: Said) -> str:
    return f"{'start' if said.is_start else 'end'} {said.span.hex()} (number {said.sequence} of {said.sender})"
