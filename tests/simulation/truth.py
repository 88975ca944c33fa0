"""
Truth: what really happened in a history, noted at the seams as it happens, and nowhere taken from what is under test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from forewarn import conventions as c

POISON_KEY: Final = b"poison"
"""Under this key the log holds what nobody can read."""


class Said(NamedTuple):
    """Which record: a span's start or its end, of which sender, under which number."""

    trace: bytes
    span: bytes
    is_start: bool
    sender: str
    sequence: int


class Violation(AssertionError):
    """A promise that was broken in a history."""


@dataclass(slots=True)
class Entry:
    """What the log took, in the order in which it did."""

    topic: str
    partition: int
    offset: int
    value: bytes
    environment: str
    at_ns: int
    is_poison: bool = False


@dataclass(slots=True)
class SenderLife:
    """One sender, seen from outside."""

    environment: str
    issued: int = 0
    kept: set[int] = field(default_factory=set)
    """Spooled, or acknowledged."""
    noted_lost: set[int] = field(default_factory=set)
    gone_with_its_disk: set[int] = field(default_factory=set)
    cut_off: set[int] = field(default_factory=set)
    """Issued, and neither kept nor known to be lost when the process was killed."""
    has_left_in_order: bool = False
    has_untold_losses: bool = False


@dataclass(slots=True)
class Truth:
    """One history's."""

    senders: dict[str, SenderLife] = field(default_factory=dict)
    spooled: dict[Said, tuple[str, int]] = field(default_factory=dict)
    """Record -> its segment and where it ends there."""
    acknowledged: set[Said] = field(default_factory=set)
    heard: set[Said] = field(default_factory=set)
    """Acknowledged, and the answer reached the sender."""
    unburied: set[Said] = field(default_factory=set)
    """What the store refuses, and the log had no room to bury."""
    never_taken: set[Said] = field(default_factory=set)
    damaged: set[Said] = field(default_factory=set)
    log: list[Entry] = field(default_factory=list)
    starts_in_log: set[tuple[bytes, bytes]] = field(default_factory=set)
    ran: dict[tuple[bytes, bytes], str] = field(default_factory=dict)
    """Calls whose tool was run, and their effect."""
    violations: list[str] = field(default_factory=list)
    pages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Delivery -> the targets' receptions of it."""
    damaged_headers: int = 0
    has_jumped: bool = False
    jumped_back_s: float = 0.0

    def broken(self, promise: str) -> None:
        self.violations.append(promise)

    def logged(self, entry: Entry) -> None:
        self.log.append(entry)
        if entry.topic in {c.Topic.STARTS, c.Topic.SPANS} and not entry.is_poison:
            self.starts_in_log |= {(said.trace, said.span) for said in records_of(entry.value) if said.is_start}

    def not_taken(self, topic: str, value: bytes, key: bytes) -> None:
        """The log is full: what should have been buried in it is told in the process's own log, and gone."""
        if topic == c.Topic.DEAD_LETTERS and key != POISON_KEY:
            self.unburied.update(records_of(value))


def records_of(request: bytes) -> Iterator[Said]:
    """Every record of an ExportTraceServiceRequest."""
    for group in ExportTraceServiceRequest.FromString(request).resource_spans:
        sender = sender_of(group)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield said_by(span, sender)


def sender_of(group: ResourceSpans) -> str:
    return next((a.value.string_value for a in group.resource.attributes if a.key == c.SERVICE_INSTANCE_ID), "")


def said_by(span: Span, sender: str) -> Said:
    sequence, is_start = 0, False
    for attribute in span.attributes:
        if attribute.key == c.SEQUENCE:
            sequence = attribute.value.int_value
        elif attribute.key == c.RECORD:
            is_start = attribute.value.string_value == c.RecordKind.START
    return Said(span.trace_id, span.span_id, is_start, sender, sequence)
