"""
For applications whose tools are plain OpenTelemetry spans: what such a span says, on record when it starts.

    provider.add_span_processor(forewarn.opentelemetry.StartRecorder())

An exporter learns of a span when it ends, which a destructive call may never do. A StartRecorder writes a start record
into the spool when the span begins, and an end record when it ends, under the span's own ids. The application's own
processors and exporters are not touched, and trouble in here is never theirs.

Nothing can be refused this way: a span is told about, it does not ask. For that a tool needs `forewarn.tool`.

`PendingSpans` is for other backends, which know finished spans only: a span without duration for each that starts.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from opentelemetry.context import Context
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode, TracerProvider, set_span_in_context
from opentelemetry.util.types import AnyValue as Value

from forewarn.configuration import current
from forewarn.conventions import (
    EFFECT,
    OPERATION_EXECUTE_TOOL,
    OPERATION_NAME,
    PENDING_PARENT_ID,
    RECORD,
    REDACTED,
    SEQUENCE,
    TRUNCATED,
    Effect,
    RecordKind,
)
from forewarn.encoding import encode_result
from forewarn.recording.interface import FrameKind
from forewarn.redaction import redact_text
from forewarn.troubles import told

Choice: TypeAlias = Callable[[ReadableSpan], bool]
"""Whether a span is to be on record, by what it says when it starts; asked again when it ends."""
_MOST_OPEN: Final = 65_536
"""Spans that never end are forgotten beyond it; if they end after all, they are chosen anew."""
_PENDING_SCOPE: Final = "forewarn.pending"
_OURS: Final = frozenset({"forewarn", _PENDING_SCOPE})
"""The scopes of the spans of `forewarn.tool`, which are on record already, and of those that stand for others."""

_log = logging.getLogger("forewarn")


def is_tool_call(span: ReadableSpan) -> bool:
    """Whether this is a tool call by OpenTelemetry's GenAI conventions: by its operation, or by its name."""
    operation = (span.attributes or {}).get(OPERATION_NAME)
    return operation == OPERATION_EXECUTE_TOOL or span.name.startswith(f"{OPERATION_EXECUTE_TOOL} ")


class StartRecorder(SpanProcessor):
    """
    Puts spans on record when they start and when they end.

    `which` chooses them; by default the tool calls. Spans that the sampler drops never reach a processor, so that they
    are not on record; those that are recorded but not sampled are.
    """

    def __init__(self, which: Choice = is_tool_call) -> None:
        self._which = which
        self._open: OrderedDict[tuple[int, int], None] = OrderedDict()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the seam's own
        if self._is_chosen(span):
            self._open[_ids(span)] = None
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            _keep(FrameKind.START, span)

    def on_end(self, span: ReadableSpan) -> None:
        ids = _ids(span)
        was_chosen = ids in self._open
        self._open.pop(ids, None)
        if was_chosen or self._is_chosen(span):
            _keep(FrameKind.OTHER, span)

    def shutdown(self) -> None:
        """Leave the records to Forewarn, which sends them until the process ends."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  the seam's own
        """
        Nothing is held back: what is on record is in the spool.

        Not `forewarn.flush`: a provider waits for one processor after the other, and stops at the first that fails.
        """
        return True

    def _is_chosen(self, span: ReadableSpan) -> bool:
        return _scope(span) not in _OURS and _is_chosen(span, self._which)


class PendingSpans(SpanProcessor):
    """
    Shows spans that have started to backends that know finished spans only.

    For each, the provider gets a child without duration, with an id of its own, that says all that is known by then;
    its name ends with `(pending)`. It takes the way of all spans of the provider: sampled, batched, exported.
    """

    def __init__(self, provider: TracerProvider, which: Choice = is_tool_call) -> None:
        self._tracer = provider.get_tracer(_PENDING_SCOPE)
        self._which = which

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the seam's own
        if _scope(span) == _PENDING_SCOPE or not _is_chosen(span, self._which):
            return
        parent_id = span.parent.span_id if span.parent is not None else 0
        try:
            self._tracer.start_span(
                f"{span.name} (pending)",
                set_span_in_context(span, Context()),
                attributes={**(span.attributes or {}), PENDING_PARENT_ID: f"{parent_id:016x}"},
                start_time=span.start_time,
            ).end(span.start_time)
        # The application's own sampler, processors and exporters run in here.
        except Exception as error:  # noqa: BLE001
            _log.error("The start of the span %s could not be shown. %s", redact_text(span.name)[0], told(error))


def _is_chosen(span: ReadableSpan, which: Choice) -> bool:
    try:
        return which(span)
    # The application's own choice runs in here, and must not end its span.
    except Exception as error:  # noqa: BLE001
        name = redact_text(span.name)[0]
        _log.error("Forewarn cannot tell whether the span %s is to be on record; it is taken. %s", name, told(error))
        return True


def _scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope is not None else ""


def _ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None, "a span that is on its way has ids"
    return context.trace_id, context.span_id


def _keep(kind: FrameKind, span: ReadableSpan) -> None:
    try:
        effect = Effect(str((span.attributes or {}).get(EFFECT, Effect.UNKNOWN)))
    except ValueError:
        effect = Effect.UNKNOWN
    is_start = kind is FrameKind.START
    current().keep_built(kind, lambda sequence: _record(span, sequence, is_start=is_start), effect)


def _record(span: ReadableSpan, sequence: int, *, is_start: bool) -> bytes:
    (trace_id, span_id), parent = _ids(span), span.parent
    cleaner = _Cleaner()
    named = [(cleaner.name(key), value) for key, value in (span.attributes or {}).items()]
    attributes = [KeyValue(key=key, value=cleaner.clean(key, value)) for key, value in named]
    record = trace_pb2.Span(
        trace_id=trace_id.to_bytes(16, "big"),
        span_id=span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent is not None else b"",
        name=cleaner.name(span.name),
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=0 if is_start else span.end_time or 0,
        attributes=attributes,
    )
    # OTLP counts kinds from 1, behind `unspecified`.
    record.kind = span.kind.value + 1  # type: ignore[assignment]
    if span.status.status_code is not StatusCode.UNSET:
        record.status.code = span.status.status_code.value
        record.status.message = _valid(cleaner.text("status", span.status.description or ""))
    own: dict[str, Value] = {SEQUENCE: sequence}
    own |= {RECORD: RecordKind.START.value} if is_start else {}
    own |= {name: count for name, count in ((REDACTED, cleaner.redacted), (TRUNCATED, cleaner.cut)) if count}
    record.attributes.extend(KeyValue(key=key, value=_any_value(value)) for key, value in own.items())
    return record.SerializeToString()


class _Cleaner:
    """Redacts and cuts attributes as the arguments and results of tools are, and counts."""

    def __init__(self) -> None:
        self.redacted = 0
        self.cut = 0

    def name(self, name: str) -> str:
        """The name of a span, or of an attribute."""
        cleaned, redacted = redact_text(name)
        self.redacted += redacted
        return _valid(cleaned)

    def clean(self, key: str, value: Value) -> AnyValue:
        if isinstance(value, str):
            return _any_value(self.text(key, value))
        # Only containers of JSON's are looked into; the SDK made tuples of an application's lists.
        plain = list(value) if isinstance(value, tuple) else value
        cleaned, was_changed = self._changed(key, plain)
        return _any_value(cleaned) if was_changed else _any_value(value)

    def text(self, key: str, text: str) -> str:
        """A text; if it is JSON, as arguments mostly are, names inside of it count, too."""
        try:
            inner = msgspec.json.decode(text) if text.startswith(("{", "[")) else text
        except (msgspec.DecodeError, RecursionError):
            inner = text
        cleaned, was_changed = self._changed(key, inner)
        if not was_changed:
            return text
        return cleaned if isinstance(cleaned, str) else msgspec.json.encode(cleaned).decode()

    def _changed(self, key: str, value: object) -> tuple[Value, bool]:
        text, redacted, cut = encode_result({key: value})
        self.redacted += redacted
        self.cut += cut
        if not (redacted or cut):
            return None, False
        (cleaned,) = msgspec.json.decode(text).values()
        return cleaned, True


def _any_value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            is_int64 = -(1 << 63) <= value < 1 << 63
            return AnyValue(int_value=value) if is_int64 else AnyValue(string_value=hex(value))
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=_valid(value))
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            pairs = [KeyValue(key=_valid(key), value=_any_value(one)) for key, one in value.items()]
            return AnyValue(kvlist_value=KeyValueList(values=pairs))
        case Sequence():
            return AnyValue(array_value=ArrayValue(values=map(_any_value, value)))
        case None:
            return AnyValue()


def _valid(text: str) -> str:
    """OTLP has no lone surrogates; Python's texts may."""
    return text.encode("utf-8", "replace").decode()
