"""
The sink's other side in the benchmark: requests decoded in Python, column by column, as fast as that goes.

Same rows, same tables, same token as the zero-decode way; only who decodes differs. `store.decoding` is the readable
form of it; this one avoids a dict per row, which is worth a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from forewarn import conventions as names
from forewarn.conventions import Stamp
from forewarn_collector.dialects.columns import (
    NUMBER_COLUMNS,
    RESOURCE_COLUMNS,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    VALUE_COLUMNS,
)
from forewarn_collector.log.interface import Record
from forewarn_collector.store.clickhouse import EmbeddedStore
from forewarn_collector.store.decoding import attribute_text

_FIXED = (
    "ts", "duration_ns", "trace_id", "span_id", "parent_span_id", "record", "version", "name", "kind", "status_code",
    "status_message",
)  # fmt: skip
_TOLD = (
    "service", "sender", "host", "environment", "environment_claimed", "key_id", "received_at", "resource", "scope",
)  # fmt: skip
_TEXTS = {**TEXT_COLUMNS, **VALUE_COLUMNS}
_LIFTED = {name: column for column, name in {**_TEXTS, **NUMBER_COLUMNS, **TIME_COLUMNS}.items()}
_ABSENT: dict[str, str | int] = dict.fromkeys(_TEXTS, "") | dict.fromkeys([*NUMBER_COLUMNS, *TIME_COLUMNS], 0)
_COLUMNS = [*_FIXED, *_TOLD, *_ABSENT, "attributes"]
_NO_PARENT = bytes(8)


class PythonDecodingStore(EmbeddedStore):
    """An embedded store that decodes in Python and inserts columns through clickhouse-connect."""

    def insert_spans(self, records: Sequence[Record], *, token: str) -> None:
        columns = Columns()
        for record in records:
            columns.add(record)
        self._handle().client.insert(
            "arriving_spans",
            [columns.lists[name] for name in _COLUMNS],
            column_names=_COLUMNS,
            column_oriented=True,
            settings={"insert_deduplication_token": token, "async_insert": 0},
        )


class Columns:
    """Column name -> values."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._fixed = [self.lists[name].append for name in _FIXED]
        self._told = [self.lists[name].append for name in _TOLD]
        self._said = [(name, self.lists[name].append) for name in _ABSENT]
        self._rest = self.lists["attributes"].append

    def add(self, record: Record) -> None:
        stamped = (
            record.headers.get(Stamp.ENVIRONMENT, b"").decode(),
            record.headers.get(Stamp.KEY_ID, b"").decode(),
            record.timestamp_ns,
        )
        for resource_spans in ExportTraceServiceRequest.FromString(record.value).resource_spans:
            told = _told(resource_spans, *stamped)
            for scope_spans in resource_spans.scope_spans:
                row = (*told, scope_spans.scope.name)
                for span in scope_spans.spans:
                    self._add(span, row)

    def _add(self, span: Span, told: tuple[Any, ...]) -> None:
        said = _ABSENT.copy()
        rest = {}
        for attribute in span.attributes:
            column, value = _LIFTED.get(attribute.key), attribute.value
            if column is not None:
                said[column] = value.string_value or value.int_value or said[column]
            elif attribute.key != names.RECORD:
                rest[attribute.key] = value.string_value or attribute_text(value)
        start, end = span.start_time_unix_nano, span.end_time_unix_nano
        fixed = (
            start,
            max(0, end - start),
            span.trace_id,
            span.span_id,
            span.parent_span_id or _NO_PARENT,
            0 if end else 1,
            end,
            span.name,
            span.kind,
            span.status.code,
            span.status.message,
        )
        for append, value in zip(self._fixed, fixed, strict=True):
            append(value)
        for append, value in zip(self._told, told, strict=True):
            append(value)
        for column, append in self._said:
            append(said[column])
        self._rest(rest)


def _told(resource_spans: ResourceSpans, environment: str, key_id: str, received_ns: int) -> tuple[Any, ...]:
    told = {attribute.key: attribute_text(attribute.value) for attribute in resource_spans.resource.attributes}
    service, sender, host = (told.pop(name, "") for name in RESOURCE_COLUMNS.values())
    claimed = told.pop(names.DEPLOYMENT_ENVIRONMENT_NAME, "")
    return service, sender, host, environment, claimed, key_id, received_ns, told
