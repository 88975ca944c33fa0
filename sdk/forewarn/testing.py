"""
What tests of an agent need: its records as plain dicts, with ids 1, 2, 3 and a clock that ticks once a look.

    def test_the_janitor_says_why():
        with forewarn.testing.record() as recorded:
            clean_up()

        assert recorded.starts[0]["attributes"]["forewarn.reasoning"] == "..."

Nothing leaves the process and nothing is written to disk. What the gateway would answer to a destructive call is
scripted: `allow` (the default), `refuse(...)`, `unreachable`, or any function of the request's bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from forewarn.configuration import use
from forewarn.conventions import RECORD, SERVICE_NAME, Decision, Effect, RecordKind, environment_name, is_production
from forewarn.recording.interface import Acknowledgement, FrameKind, Unacknowledged
from forewarn.recording.memory import MemorySpool, Reply, Script, ScriptedAcknowledger
from forewarn.recording.senders import SelfPortrait
from forewarn.recording.wire import resource
from forewarn.redaction import rules, use_rules
from forewarn.runtime import Policy, Runtime
from forewarn.spans import FullSpans

Record: TypeAlias = dict[str, Any]
FIRST_TICK_NS = 1_000_000_000_000_000_000
TICK_NS = 1_000_000_000


class Recorded:
    """What went on record, in the order in which it became durable."""

    def __init__(self) -> None:
        self.spool = MemorySpool()
        self.requests: list[bytes] = []
        """What was sent to be acknowledged, one ExportTraceServiceRequest each."""
        self._order: list[bytes] = []

    @property
    def records(self) -> list[Record]:
        """Every record as a dict; `read_record` says of what."""
        return [read_record(span) for span in self._order]

    @property
    def starts(self) -> list[Record]:
        return [record for record in self.records if record["record"] == RecordKind.START]

    @property
    def ends(self) -> list[Record]:
        return [record for record in self.records if record["record"] == RecordKind.END]

    def calls(self, tool: str) -> list[Record]:
        """The end records of one tool's calls."""
        return [record for record in self.ends if record["name"] == f"execute_tool {tool}"]

    def append(self, kind: FrameKind, record: bytes, effect: Effect | None = None) -> None:
        self.spool.append(kind, record, effect)
        self._order.append(record)

    def close(self) -> None:
        self.spool.close()

    def acknowledged(self, request: bytes) -> None:
        self.requests.append(request)
        for per_resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            for per_scope in per_resource.scope_spans:
                self._order.extend(span.SerializeToString() for span in per_scope.spans)


def allow(_request: bytes) -> Reply:
    """The gateway has the record and lets the call run."""
    return Acknowledgement(Decision.ALLOW)


def refuse(decision: str = Decision.DENY, *, rule: str | None = None, reason: str = "") -> Script:
    """The gateway has the record and does not let the call run."""
    return lambda _request: Acknowledgement(decision, rule, reason)


def unreachable(_request: bytes) -> Reply:
    """Nobody answers."""
    return Unacknowledged("no gateway in this test", "script another answer.")


@contextmanager
def record(
    answer: Script = allow,
    *,
    environment: str = "test",
    tracer_provider: trace.TracerProvider | None = None,
) -> Iterator[Recorded]:
    """
    Record in memory what the agent in this block does, whatever the process is set up with.

    `environment` decides how strict to be: with "production", `unreachable` refuses destructive calls. With a
    `tracer_provider` the calls are its spans too, and the ids are those it gives.
    """
    recorded = Recorded()

    def answered(request: bytes) -> Reply:
        reply = answer(request)
        if isinstance(reply, Acknowledgement):
            recorded.acknowledged(request)
        return reply

    rules_before = rules()
    use_rules(rules_before.with_key(b"forewarn.testing"))
    tracer = (tracer_provider or trace.NoOpTracerProvider()).get_tracer("forewarn")
    random_bytes, clock_ns = counted_bytes(), ticking_clock()
    use(
        Runtime(
            policy=Policy(environment_name(environment), strict=is_production(environment)),
            resource=resource({SERVICE_NAME: "test"}),
            spans=FullSpans(tracer, random_bytes),
            spool=recorded,
            acknowledger=ScriptedAcknowledger(answered),
            clock_ns=clock_ns,
            portrait=SelfPortrait(clock_ns, random_bytes),
        )
    )
    try:
        yield recorded
    finally:
        use(None)
        use_rules(rules_before)


def ticking_clock() -> Callable[[], int]:
    """Unix time in nanoseconds; every look is a second later."""
    return itertools.count(FIRST_TICK_NS, TICK_NS).__next__


def counted_bytes() -> Callable[[int], bytes]:
    """Ids 1, 2, 3 in place of random ones."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def read_record(encoded: bytes) -> Record:
    """One OTLP Span: name, record (start or end), ids in hex, times, error text (`status`), attributes."""
    span = Span.FromString(encoded)
    attributes = {attribute.key: _value(attribute.value) for attribute in span.attributes}
    return {
        "name": span.name,
        "record": RecordKind(str(attributes.pop(RECORD, RecordKind.END))),
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "status": span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
        "attributes": attributes,
    }


def _value(value: AnyValue) -> str | int:
    return value.int_value if value.WhichOneof("value") == "int_value" else value.string_value
