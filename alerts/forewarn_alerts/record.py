"""
Tool calls, read from the log's OTLP records.

Most spans of most requests concern no rule, so the cheap questions come first: the span's name, whether it has ended,
its effect. Only a span that some rule may hit is decoded whole (10-13 us against 2 us).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from forewarn import conventions as c
from forewarn_alerts.errors import Unreadable
from forewarn_collector.log.interface import Record

SPAN_NAME_PREFIX: Final = f"{c.OPERATION_EXECUTE_TOOL} "
OWN_SCOPE: Final = "forewarn"
_EFFECTS: Final = frozenset(c.Effect)
_LONGEST_TIME: Final = 20
"""Digits of 2**64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One record of one tool call. Text fields are '' and numbers 0 where the record says nothing."""

    kind: c.RecordKind
    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    tool: str
    effect: str = ""
    """`Effect`, or '' on a span of another instrumentation that says nothing of it."""
    effect_source: str = ""
    arguments: str = ""
    """JSON text of one object."""
    digest: str = ""
    call_id: str = ""
    outcome: str = ""
    error_type: str = ""
    agent: str = ""
    agent_path: str = ""
    environment: str = ""
    """Verified: from the ingest key."""
    environment_claimed: str = ""
    """Well-known name of what the process says of itself."""
    service: str = ""
    host: str = ""
    key_id: str = ""
    reasoning: str = ""
    reasoning_span_id: str = ""
    reasoned_at_ns: int = 0
    """Sender's clock; 0 when unknown."""
    started_ns: int = 0
    """Sender's clock."""
    ended_ns: int = 0
    at_ns: int = 0
    """The log's clock: when the record was appended."""
    resource: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Every attribute of the span as text; arrays and maps as JSON."""

    @property
    def duration_ms(self) -> int:
        return max(0, self.ended_ns - self.started_ns) // 1_000_000


@dataclass(frozen=True, slots=True)
class Closed:
    """A finished call of which nobody asks more than that it finished."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Interest:
    """Which effects a record must have to matter, for one environment and claim."""

    starts: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    closing: frozenset[str] = frozenset()
    """Ends of which only the identity is wanted, beside `ends`."""

    @property
    def any_end(self) -> frozenset[str]:
        return self.ends | self.closing

    def __bool__(self) -> bool:
        return bool(self.starts or self.ends or self.closing)


class Interests(Protocol):
    """What the rules want to see."""

    def interest(self, environment: str, claimed: str) -> Interest: ...


def read_calls(record: Record, interests: Interests) -> Iterator[CallRecord | Closed]:
    """What may matter to a rule in a log record, in the order of the request."""
    try:
        request = ExportTraceServiceRequest.FromString(record.value)
    except DecodeError as error:
        raise Unreadable(f"{record.topic} {record.partition}:{record.offset} is not an OTLP trace request") from error
    environment = verified_environment(record)
    for group in request.resource_spans:
        interest = interests.interest(environment, claimed_environment(group.resource.attributes))
        if interest:
            for scope in group.scope_spans:
                yield from _of_scope(scope, group.resource, interest, record)


def _of_scope(
    scope: ScopeSpans, resource: Resource, interest: Interest, record: Record
) -> Iterator[CallRecord | Closed]:
    own = scope.scope.name == OWN_SCOPE
    for span in scope.spans:
        name = span.name
        if name.startswith(SPAN_NAME_PREFIX):
            ended = span.end_time_unix_nano
            wanted = interest.any_end if ended else interest.starts
            if not wanted or (effect := effect_of(span, own=own)) not in wanted:
                continue
            if ended and effect not in interest.ends:
                yield Closed(span.trace_id.hex(), span.span_id.hex())
            else:
                yield _call(span, effect, resource, record)


def stamp(record: Record, name: c.Stamp) -> str:
    return record.headers.get(name, b"").decode("utf-8", "replace")


def verified_environment(record: Record) -> str:
    """What the ingest key stands for, as a well-known name; the gateway stamped it."""
    return c.environment_name(stamp(record, c.Stamp.ENVIRONMENT))


def claimed_environment(resource: Iterable[KeyValue]) -> str:
    """What the process says of itself, as a well-known name; '' when it says nothing."""
    claimed = ""
    for attribute in resource:
        if attribute.key == c.DEPLOYMENT_ENVIRONMENT_NAME:
            return c.environment_name(attribute.value.string_value)
        if attribute.key == c.DEPLOYMENT_ENVIRONMENT:
            claimed = attribute.value.string_value
    return c.environment_name(claimed)


def effect_of(span: Span, *, own: bool) -> str:
    """What the record says; on our own records a missing or unheard-of effect is `unknown`, as bad as destructive."""
    for attribute in span.attributes:
        if attribute.key == c.EFFECT:
            effect = attribute.value.string_value
            return effect if effect in _EFFECTS else str(c.Effect.UNKNOWN)
    return str(c.Effect.UNKNOWN) if own else ""


def _call(span: Span, effect: str, resource: Resource, record: Record) -> CallRecord:
    said = {a.key: _text(a.value) for a in span.attributes}
    about = {a.key: _text(a.value) for a in resource.attributes}
    return CallRecord(
        kind=c.RecordKind.END if span.end_time_unix_nano else c.RecordKind.START,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        tool=said.get(c.TOOL_NAME) or span.name.removeprefix(SPAN_NAME_PREFIX),
        effect=effect,
        effect_source=said.get(c.EFFECT_SOURCE, ""),
        arguments=said.get(c.TOOL_CALL_ARGUMENTS, ""),
        digest=said.get(c.CALL_DIGEST, ""),
        call_id=said.get(c.TOOL_CALL_ID, ""),
        outcome=said.get(c.OUTCOME, ""),
        error_type=said.get(c.ERROR_TYPE, ""),
        agent=said.get(c.AGENT_NAME, ""),
        agent_path=said.get(c.AGENT_PATH, "") or said.get(c.AGENT_NAME, ""),
        environment=verified_environment(record),
        environment_claimed=claimed_environment(resource.attributes),
        service=about.get(c.SERVICE_NAME, ""),
        host=about.get(c.HOST_NAME, ""),
        key_id=stamp(record, c.Stamp.KEY_ID),
        reasoning=said.get(c.REASONING, ""),
        reasoning_span_id=said.get(c.REASONING_SPAN_ID, ""),
        reasoned_at_ns=_time(said.get(c.REASONING_AT, "")),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        at_ns=record.timestamp_ns,
        resource=about,
        attributes=said,
    )


def _time(text: str) -> int:
    """Unix nanoseconds; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIME else 0


def _text(value: AnyValue) -> str:
    """An attribute's value as text: strings as they are, everything else as JSON."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    return "" if kind is None else msgspec.json.encode(_plain(value)).decode()


def _plain(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: _plain(item.value) for item in value.kvlist_value.values}
        case kind:
            plain: object = getattr(value, kind)
            return plain
