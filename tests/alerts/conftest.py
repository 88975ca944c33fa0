"""
Calls as the SDK sends them, clocks that tests move, targets that remember.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from sqlalchemy import Engine, select

from forewarn import conventions as c
from forewarn_alerts.incidents import Incidents
from forewarn_alerts.metrics import AlertsMetrics
from forewarn_alerts.notify.interface import Answer, Delivered, Message, Page, TargetType
from forewarn_alerts.rules.engine import RuleSet
from forewarn_alerts.rules.loading import load_rules
from forewarn_alerts.tables import INCIDENTS
from forewarn_alerts.watcher import Watcher
from forewarn_collector.log.interface import Record
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.state.engine import open_state

EPOCH_NS = 1_790_000_000_000_000_000
SECOND = 1_000_000_000


@dataclass
class Clock:
    """A clock that only tests move."""

    now_ns: int = EPOCH_NS

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)


@dataclass(frozen=True)
class Call:
    """One tool call, to be sent as its start record, its end record, or both."""

    number: int = 1
    tool: str = "drop_table"
    effect: str | None = "destructive"
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"name": "customers"})
    environment: str = "production"
    claimed: str = "production"
    service: str = "billing-janitor"
    digest: str | None = None
    reasoning: str = "customers looks stale."
    scope: str = "forewarn"
    started_ns: int = EPOCH_NS
    outcome: str = "ok"
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        return f"{self.number:032x}"

    @property
    def span_id(self) -> str:
        return f"{self.number:016x}"

    @property
    def headers(self) -> dict[str, bytes]:
        return {
            c.Stamp.ENVIRONMENT: self.environment.encode(),
            c.Stamp.KEY_ID: f"{self.environment}_k1".encode(),
            c.Stamp.RECEIVED_AT: b"1",
        }

    def start(self) -> bytes:
        return request(self, self.span(ended=False))

    def end(self) -> bytes:
        return request(self, self.span(ended=True))

    def span(self, *, ended: bool) -> Span:
        digest = f"{self.number:064x}" if self.digest is None else self.digest
        told = {
            c.OPERATION_NAME: c.OPERATION_EXECUTE_TOOL,
            c.TOOL_NAME: self.tool,
            c.AGENT_NAME: "cleaner",
            c.AGENT_PATH: "janitor > cleaner",
            c.TOOL_CALL_ARGUMENTS: json.dumps(self.arguments),
            c.CALL_DIGEST: digest,
            c.REASONING: self.reasoning,
            c.REASONING_SPAN_ID: f"{self.number + (1 << 32):016x}",
            c.EFFECT_SOURCE: "declared",
            **({} if self.effect is None else {c.EFFECT: self.effect}),
            **({c.OUTCOME: self.outcome} if ended else {c.RECORD: c.RecordKind.START}),
            **self.extra,
        }
        return Span(
            trace_id=bytes.fromhex(self.trace_id),
            span_id=bytes.fromhex(self.span_id),
            name=f"{c.OPERATION_EXECUTE_TOOL} {self.tool}",
            start_time_unix_nano=self.started_ns,
            end_time_unix_nano=self.started_ns + 5_000_000 if ended else 0,
            attributes=[KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in told.items()],
        )

    def record(self, *, ended: bool = False, offset: int = 0) -> Record:
        topic = c.Topic.SPANS if ended else c.Topic.STARTS
        value = self.end() if ended else self.start()
        return Record(topic, 0, offset, value, headers=self.headers, timestamp_ns=self.started_ns)


def request(call: Call, *spans: Span) -> bytes:
    told = {c.SERVICE_NAME: call.service, c.HOST_NAME: "db-tools-2", c.DEPLOYMENT_ENVIRONMENT_NAME: call.claimed}
    body = ExportTraceServiceRequest()
    resource = body.resource_spans.add()
    resource.resource.attributes.extend(KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in told.items() if v)
    scope = resource.scope_spans.add()
    scope.scope.name = call.scope
    scope.spans.extend(spans)
    return body.SerializeToString()


@dataclass
class RememberingTarget:
    """A target that answers what it is told to and keeps what it got."""

    name: str = "pager"
    answers: list[Answer] = field(default_factory=list)
    pages: list[tuple[str, Page]] = field(default_factory=list)
    closed: bool = False
    type: TargetType = TargetType.PAGERDUTY

    def prepare(self) -> None:
        self.prepared = True

    def render(self, page: Page, delivery: str) -> Message:
        self.pages.append((delivery, page))
        return Message(page.incident.encode(), {})

    def send(self, message: Message) -> Answer:
        return self.answers.pop(0) if self.answers else Delivered("yes")

    def close(self) -> None:
        self.closed = True


class World:
    """One installation of which the watcher can be started anew."""

    def __init__(self, kit: Any, rules: Any = None) -> None:
        self.kit = kit
        self.engine = kit.engine()
        self.log = kit.log()
        self.rules = rules or load_rules()
        self.start()

    def start(self) -> None:
        self.incidents = Incidents(self.engine, {"oncall": ["pager", "chat"]}, clock_ns=self.kit.clock)
        self.metrics = AlertsMetrics()
        self.watcher = Watcher(self.log, self.rules, self.incidents, clock_ns=self.kit.clock, metrics=self.metrics)

    def settle(self) -> None:
        while self.watcher.step():
            pass
        self.watcher.step()

    def rows(self, table: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(table)).all())

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def opened(self) -> list[str]:
        return [row.rule for row in self.rows(INCIDENTS)]


@dataclass
class Kit:
    """What tests of these rooms build with."""

    Call = Call
    Target = RememberingTarget
    request = staticmethod(request)
    EPOCH_NS = EPOCH_NS
    replace = staticmethod(replace)

    folder: Path
    clock: Clock

    def world(self, rules: RuleSet | None = None) -> World:
        return World(self, rules)

    def engine(self, name: str = "state") -> Engine:
        return open_state(f"sqlite:///{self.folder / name}.sqlite3")

    def log(self) -> MemoryLog:
        return MemoryLog(clock_ns=self.clock)

    def rules(self, **files: str) -> RuleSet:
        """Rules from texts by id; `_` in an id is written `-`."""
        folder = self.folder / "rules"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name.replace('_', '-')}.yaml").write_text(text)
        return load_rules([folder], library=False)

    def send(self, log: MemoryLog, call: Call, *, ended: bool = False, topic: str | None = None) -> None:
        where = topic or (c.Topic.SPANS if ended else c.Topic.STARTS)
        log.append(where, call.end() if ended else call.start(), headers=call.headers).result()


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path, Clock())


@pytest.fixture
def world(kit: Kit) -> World:
    return kit.world()
