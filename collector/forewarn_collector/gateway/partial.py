"""
Spans that nobody could ever find or join again are left out, and their sender is told (OTLP's partial success).

https://opentelemetry.io/docs/specs/otlp/#partial-success-1: the sender must not send them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8
_NO_TRACE: Final = bytes(TRACE_ID_BYTES)
_NO_SPAN: Final = bytes(SPAN_ID_BYTES)


@dataclass(frozen=True, slots=True)
class Rejected:
    """What of a request was not taken: so many spans."""

    spans: int

    def __bool__(self) -> bool:
        return self.spans > 0

    @property
    def why(self) -> str:
        return (
            f"A span needs a trace id of {TRACE_ID_BYTES} bytes and a span id of {SPAN_ID_BYTES}, neither all zero; "
            f"its parent's id has {SPAN_ID_BYTES} bytes or is left out."
        )

    def response(self) -> ExportTraceServiceResponse:
        return ExportTraceServiceResponse(
            partial_success=ExportTracePartialSuccess(rejected_spans=self.spans, error_message=self.why)
        )


def leave_out_nameless(request: ExportTraceServiceRequest) -> Rejected:
    """Take the spans without usable ids out of the request, in place."""
    rejected = 0
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            spans = scope_spans.spans
            if all(map(_is_named, spans)):
                continue
            named = [span for span in spans if _is_named(span)]
            rejected += len(spans) - len(named)
            kept = type(scope_spans)()
            kept.spans.extend(named)
            del spans[:]
            spans.MergeFrom(kept.spans)
    return Rejected(rejected)


_PARENT_BYTES: Final = frozenset({0, SPAN_ID_BYTES})


def _is_named(span: Span) -> bool:
    trace_id, span_id = span.trace_id, span.span_id
    return (
        len(trace_id) == TRACE_ID_BYTES
        and len(span_id) == SPAN_ID_BYTES
        and trace_id != _NO_TRACE
        and span_id != _NO_SPAN
        and len(span.parent_span_id) in _PARENT_BYTES
    )
