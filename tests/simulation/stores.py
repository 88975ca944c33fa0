"""
The store as a model: what its contract promises of tokens and repetitions, and nothing else; and a store that fails.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.simulation.fate import Fate
from tests.simulation.truth import Said, said_by

from forewarn import conventions as c
from forewarn_collector.log.interface import Record
from forewarn_collector.store.events import event_lines
from forewarn_collector.store.interface import BadPayload, Rows, StoreUnavailable

UNSTORABLE: Final = "unstorable-by-order"
"""A record that holds this reads well, and the store refuses it."""

SpanKey = tuple[str, bytes, bytes]


class ModelStore:
    """A store without SQL. A token that was used makes an insert a no-op; rows of one key are one row."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, Said], Span] = {}
        """By environment and record."""
        self.services: dict[str, set[str]] = defaultdict(set)
        """By sender: what its records say it is."""
        self.spans: dict[SpanKey, str] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.whole_inserts: Counter[tuple[str, int, int]] = Counter()
        """How often a log record was stored by an insert that was not a no-op and did not fail half-way."""
        self._tokens: set[str] = set()

    def insert_spans(self, records: Sequence[Record], *, token: str) -> None:
        self._insert(records, token, self._spans_of, self._keep_span)

    def insert_events(self, records: Sequence[Record], *, token: str) -> None:
        self._insert(records, token, self._events_of, self._keep_event)

    def insert_part(self, records: Sequence[Record]) -> None:
        """What an insert that failed may leave behind."""
        if records and records[0].topic != c.Topic.EVENTS:
            for record in records:
                for row in self._spans_of(record):
                    self._keep_span(row)

    def counts(self) -> dict[str, int]:
        """Of the tables that people count."""
        tools = [key for key, operation in self.spans.items() if operation == c.OPERATION_EXECUTE_TOOL]
        traces = {trace for _, trace, _ in self.spans}
        return {"spans": len(self.spans), "calls": len(tools), "trace_times": len(traces), "events": len(self.events)}

    def query(self, sql_or_name: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        raise NotImplementedError("the roads write; questions are the real store's")

    def migrate(self) -> None:
        """There is no schema."""

    def close(self) -> None:
        """Nothing is open."""

    def _insert(
        self,
        records: Sequence[Record],
        token: str,
        read: Callable[[Record], list[Any]],
        keep: Callable[[Any], None],
    ) -> None:
        if token in self._tokens:
            return
        rows = [row for record in records for row in read(record)]
        for row in rows:
            keep(row)
        self._tokens.add(token)
        for record in records:
            self.whole_inserts[str(record.topic), record.partition, record.offset] += 1

    def _spans_of(self, record: Record) -> list[tuple[str, dict[str, str], Span]]:
        if UNSTORABLE.encode() in record.value:
            raise BadPayload("the engine refuses it")
        try:
            request = ExportTraceServiceRequest.FromString(record.value)
        except DecodeError as fault:
            raise BadPayload(str(fault)) from fault
        environment = record.headers.get(c.Stamp.ENVIRONMENT, b"").decode()
        return [
            (environment, {a.key: a.value.string_value for a in group.resource.attributes}, span)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def _keep_span(self, row: tuple[str, dict[str, str], Span]) -> None:
        environment, resource, span = row
        sender = resource.get(c.SERVICE_INSTANCE_ID, "")
        self.services[sender].add(resource.get(c.SERVICE_NAME, ""))
        self.records[environment, said_by(span, sender)] = span
        operation = next((a.value.string_value for a in span.attributes if a.key == c.OPERATION_NAME), "")
        self.spans[environment, span.trace_id, span.span_id] = operation

    @staticmethod
    def _events_of(record: Record) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in event_lines([record]).splitlines()]

    def _keep_event(self, event: dict[str, Any]) -> None:
        self.events[event["id"]] = event


class FailingStore:
    """What one process sees of the store."""

    def __init__(self, store: ModelStore, fate: Fate) -> None:
        self._store = store
        self._fate = fate

    def insert_spans(self, records: Sequence[Record], *, token: str) -> None:
        self._insert(self._store.insert_spans, records, token)

    def insert_events(self, records: Sequence[Record], *, token: str) -> None:
        self._insert(self._store.insert_events, records, token)

    def _insert(self, insert: Callable[..., None], records: Sequence[Record], token: str) -> None:
        fate = self._fate
        fate.point("before an insert")
        if fate.strikes("store is away"):
            if fate.random.random() < 0.5:
                insert(records, token=token)
            raise StoreUnavailable("it is not known whether it was stored")
        if fate.strikes("store does a part"):
            self._store.insert_part(_readable(records)[: fate.random.randrange(len(records) + 1)])
            raise StoreUnavailable("it stopped in the middle")
        insert(records, token=token)
        fate.counts["inserts"] += 1
        fate.tell(f"stored {token}")
        fate.point("behind an insert")

    def query(self, sql_or_name: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        return self._store.query(sql_or_name, parameters)

    def migrate(self) -> None:
        self._store.migrate()

    def close(self) -> None:
        self._store.close()


def _readable(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if UNSTORABLE.encode() not in record.value and not _is_garbage(record)]


def _is_garbage(record: Record) -> bool:
    try:
        ExportTraceServiceRequest.FromString(record.value)
    except DecodeError:
        return True
    return False
