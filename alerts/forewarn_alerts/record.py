"""
Tool calls, read from the log's OTLP records, whoever sent them.

Most spans of most requests concern no rule, so the cheap questions come first. Of our own SDK: the span's name, whether
it has ended, its effect; only a span that some rule may hit is decoded whole (10-13 us against 2 us). Of others:
whether anything in the request looks like a call of a tool; then each span is read in the words of its dialect.
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
from forewarn_collector.dialects.columns import VALUE_KINDS
from forewarn_collector.dialects.reading import Reading, read_span
from forewarn_collector.dialects.table import OWN_SCOPE, SPAN_NAME_PREFIX, signs_of_calls
from forewarn_collector.log.interface import Record
from forewarn_collector.tools.tool_list import ToolList, Verdict, verdict

_SIGNS: Final = tuple(sign.encode() for sign in signs_of_calls())
_ASKED: Final = frozenset({c.TOOL_NAME, c.EFFECT, c.EFFECT_SOURCE})
_NO_TOOLS: Final = ToolList()
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
    is_first_sight: bool = False
    """A finished call of a sender that gives no start records: nobody could have heard of it before."""
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


def read_calls(record: Record, interests: Interests, tools: ToolList = _NO_TOOLS) -> Iterator[CallRecord | Closed]:
    """What may matter to a rule in a log record, in the order of the request."""
    try:
        request = ExportTraceServiceRequest.FromString(record.value)
    except DecodeError as error:
        raise Unreadable(f"{record.topic} {record.partition}:{record.offset} is not an OTLP trace request") from error
    environment = verified_environment(record)
    for group in request.resource_spans:
        interest = interests.interest(environment, claimed_environment(group.resource.attributes))
        if interest:
            seen = _Seen(record, group.resource, interest, tools)
            for scope in group.scope_spans:
                yield from seen.own(scope) if scope.scope.name == OWN_SCOPE else seen.foreign(scope)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The spans of one resource, and what is asked of them."""

    record: Record
    resource: Resource
    interest: Interest
    tools: ToolList

    def own(self, scope: ScopeSpans) -> Iterator[CallRecord | Closed]:
        """Of our own SDK a call has a start record, and its name says that it is one."""
        for span in scope.spans:
            if not span.name.startswith(SPAN_NAME_PREFIX):
                continue
            ended = span.end_time_unix_nano
            wanted = self.interest.any_end if ended else self.interest.starts
            if not wanted or (found := self._verdict(span)).effect not in wanted:
                continue
            if ended and found.effect not in self.interest.ends:
                yield Closed(span.trace_id.hex(), span.span_id.hex())
            else:
                yield self._call(span, read_span(span.name, _sent(span), scope=OWN_SCOPE), found)

    def foreign(self, scope: ScopeSpans) -> Iterator[CallRecord | Closed]:
        """Of others a finished span may be the first that is heard of a call."""
        if not any(sign in self.record.value for sign in _SIGNS):
            return
        for span in scope.spans:
            reading = read_span(span.name, _sent(span), scope=scope.scope.name)
            if not reading.is_call:
                continue
            ended = span.end_time_unix_nano and not reading.pending_parent
            found = self._judged(reading.tool, reading.text(c.EFFECT), reading.text(c.EFFECT_SOURCE))
            if found.effect in (self.interest.starts | self.interest.ends if ended else self.interest.starts):
                yield self._call(span, reading, found, scope=scope.scope.name)
            elif ended and found.effect in self.interest.closing:
                yield Closed(span.trace_id.hex(), span.span_id.hex())

    def _verdict(self, span: Span) -> Verdict:
        said = {a.key: a.value.string_value for a in reversed(span.attributes) if a.key in _ASKED}
        tool = said.get(c.TOOL_NAME) or span.name.removeprefix(SPAN_NAME_PREFIX)
        return self._judged(tool, said.get(c.EFFECT, ""), said.get(c.EFFECT_SOURCE, ""))

    def _judged(self, tool: str, effect: str, source: str) -> Verdict:
        listed = None
        if self.tools.entries:
            service = _text_of(self.resource.attributes, c.SERVICE_NAME)
            listed = self.tools.effect(tool, service=service, environment=stamp(self.record, c.Stamp.ENVIRONMENT))
        return verdict(listed, effect=effect, source=source)

    def _call(self, span: Span, reading: Reading, found: Verdict, *, scope: str = OWN_SCOPE) -> CallRecord:
        said = {name: _text(value) for name, value in reading.said.items()}
        about = {a.key: _text(a.value) for a in reversed(self.resource.attributes)}
        pending = bool(reading.pending_parent)
        ended_ns = 0 if pending else span.end_time_unix_nano
        return CallRecord(
            kind=c.RecordKind.END if ended_ns else c.RecordKind.START,
            trace_id=span.trace_id.hex(),
            span_id=(span.parent_span_id if pending else span.span_id).hex(),
            tool=reading.tool,
            effect=found.effect,
            effect_source=found.source,
            arguments=_arguments(reading.said.get(c.TOOL_CALL_ARGUMENTS)),
            digest=reading.text(c.CALL_DIGEST),
            call_id=reading.text(c.TOOL_CALL_ID),
            outcome=reading.text(c.OUTCOME),
            error_type=reading.text(c.ERROR_TYPE),
            agent=reading.text(c.AGENT_NAME),
            agent_path=reading.text(c.AGENT_PATH) or reading.text(c.AGENT_NAME),
            environment=verified_environment(self.record),
            environment_claimed=claimed_environment(self.resource.attributes),
            service=about.get(c.SERVICE_NAME, ""),
            host=about.get(c.HOST_NAME, ""),
            key_id=stamp(self.record, c.Stamp.KEY_ID),
            reasoning=reading.text(c.REASONING),
            reasoning_span_id=reading.text(c.REASONING_SPAN_ID),
            reasoned_at_ns=_time(said.get(c.REASONING_AT, "")),
            started_ns=span.start_time_unix_nano,
            ended_ns=ended_ns,
            is_first_sight=ended_ns > 0 and scope != OWN_SCOPE,
            at_ns=self.record.timestamp_ns,
            resource=about,
            attributes=said,
        )


def _sent(span: Span) -> dict[str, AnyValue]:
    """Of a name that stands there twice the first, as in the store: nobody hides behind a second opinion."""
    return {attribute.key: attribute.value for attribute in reversed(span.attributes)}


def _text_of(attributes: Iterable[KeyValue], name: str) -> str:
    return next((attribute.value.string_value for attribute in attributes if attribute.key == name), "")


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
        if attribute.key == c.DEPLOYMENT_ENVIRONMENT and not claimed:
            claimed = attribute.value.string_value
    return c.environment_name(claimed)


def _time(text: str) -> int:
    """Unix nanoseconds; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIME else 0


def _arguments(value: AnyValue | None) -> str:
    """Of the kinds that the column takes."""
    return _text(value) if value is not None and value.WhichOneof("value") in VALUE_KINDS else ""


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
