"""
Spans: each record's place in the application's own traces.

If the application has a tracer provider, a call is an ordinary span of it, and our records take over its ids. If it has
none, or one of its span processors fails, the ids are ours; either way the span is current while the tool runs, so that
what the tool does nests under it. What its sampler drops is recorded all the same. The provider is never changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Token
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags, Tracer

from forewarn.recording.interface import Attributes
from forewarn.recording.records import SpanIds

RandomBytes = Callable[[int], bytes]
"""n -> n random bytes; not all zero."""

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_log = logging.getLogger("forewarn")


class OpenSpan:
    """A span that has begun. As a context manager it is current within: entered anew for every step of a generator."""

    __slots__ = ("_context", "_token", "ids", "span")

    def __init__(self, span: Span, ids: SpanIds, parent: Context) -> None:
        self.span = span
        self.ids = ids
        self._context = trace.set_span_in_context(span, parent)
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        self._token = context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            context.detach(self._token)

    def end(self, ended_ns: int, attributes: Attributes | None, *, error: str | None = None) -> None:
        """End the application's span; trouble of its processors and exporters stays here."""
        try:
            if attributes:
                self.span.set_attributes(attributes)
            if error is not None:
                self.span.set_status(Status(StatusCode.ERROR, error))
            self.span.end(ended_ns)
        # The application's own processors run in here.
        except Exception:  # noqa: BLE001
            _log.exception("A span processor of the application failed at the end of a span.")


class Spans:
    """Opens spans with the application's tracer, or with ids of its own."""

    def __init__(self, tracer: Tracer, random_bytes: RandomBytes) -> None:
        self._tracer = tracer
        self._random_bytes = random_bytes

    def open(self, name: str, attributes: Attributes, started_ns: int) -> OpenSpan:
        surroundings = context.get_current()
        parent = trace.get_current_span(surroundings).get_span_context()
        try:
            span = self._tracer.start_span(name, surroundings, attributes=attributes, start_time=started_ns)
            made = span.get_span_context()
        # The application's own sampler and processors run in here.
        except Exception:  # noqa: BLE001
            _log.exception("A sampler or span processor of the application failed at the start of a span.")
            made = parent
        # Without a provider the tracer hands back the parent, or nothing.
        if made.span_id == parent.span_id or not made.is_valid:
            made = self._own(parent)
            span = NonRecordingSpan(made)
        above = parent.span_id.to_bytes(8, "big") if parent.is_valid else b""
        ids = made.trace_id.to_bytes(16, "big"), made.span_id.to_bytes(8, "big"), above
        return OpenSpan(span, ids, surroundings)

    def _own(self, parent: SpanContext) -> SpanContext:
        span_id = int.from_bytes(self._random_bytes(8), "big")
        if parent.is_valid:
            return SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)
        return SpanContext(int.from_bytes(self._random_bytes(16), "big"), span_id, False, _SAMPLED)
