"""
Spans: each record's place in the application's own traces.

*Full*: if the application has a tracer provider, a call is an ordinary span of it, and our records take over its ids.
If it has none, or one of its span processors fails, the ids are ours; either way the span is current while the tool
runs, so that what the tool does nests under it. What its sampler drops is recorded all the same. The provider is never
changed.

*Light*: no span of the application is made, which is most of what a recorded call costs. The context is carried on as
before: what the tool does has our ids above it, and trace ids match.
"""

from __future__ import annotations

import logging
from contextvars import Token
from typing import Final, Protocol

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)

from forewarn.recording.interface import Attributes
from forewarn.recording.records import SpanIds
from forewarn.recording.senders import RandomBytes
from forewarn.troubles import told

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
# The key of the current span, which OpenTelemetry does not name: asking for it by a function is dear on every call.
(_SPAN_KEY,) = trace.set_span_in_context(INVALID_SPAN, Context())
_log = logging.getLogger("forewarn")


class LightSpan(NonRecordingSpan):
    """A span of ours alone; its OpenTelemetry context is made when somebody asks."""

    def __init__(self, trace_id: bytes, span_id: bytes, like: SpanContext) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.like = like
        """The context above that is not ours, whose flags and state are carried on; an invalid one if there is none."""

    def get_span_context(self) -> SpanContext:
        trace_id, span_id = int.from_bytes(self.trace_id, "big"), int.from_bytes(self.span_id, "big")
        if self.like.is_valid:
            return SpanContext(trace_id, span_id, False, self.like.trace_flags, self.like.trace_state)
        return SpanContext(trace_id, span_id, False, _SAMPLED)

    def __repr__(self) -> str:
        return f"LightSpan({self.get_span_context()!r})"


class OpenSpan:
    """A span that has begun. As a context manager it is current within: entered anew for every step of a generator."""

    __slots__ = ("_context", "_token", "ids")

    def __init__(self, span: Span, ids: SpanIds, surroundings: Context) -> None:
        self.ids = ids
        self._context = Context({**surroundings, _SPAN_KEY: span})
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        self._token = context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            context.detach(self._token)

    def end(self, ended_ns: int, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """Nobody else was told that it began."""


class ApplicationSpan(OpenSpan):
    """The same of a span that the application's provider has begun."""

    __slots__ = ("span",)

    def __init__(self, span: Span, ids: SpanIds, surroundings: Context) -> None:
        self.span = span
        super().__init__(span, ids, surroundings)

    def end(self, ended_ns: int, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """End the application's span; trouble of its processors and exporters stays here."""
        try:
            if attributes:
                self.span.set_attributes(attributes)
            if error is not None:
                self.span.set_status(Status(StatusCode.ERROR, error))
            self.span.end(ended_ns)
        # The application's own processors run in here.
        except Exception as trouble:  # noqa: BLE001
            _log.error("A span processor of the application failed at the end of a span. %s", told(trouble))


class Spans(Protocol):
    """Opens spans."""

    has_readers: bool
    """Whether anybody looks at the attributes of a span."""

    def open(self, name: str, attributes: Attributes, started_ns: int) -> OpenSpan: ...


class LightSpans:
    """Opens spans that the application's provider never sees."""

    has_readers = False

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes

    def open(self, name: str, attributes: Attributes, started_ns: int) -> OpenSpan:  # noqa: ARG002  the seam's own
        surroundings = context.get_current()
        above = surroundings.get(_SPAN_KEY)
        span_id = self._random_bytes(8)
        if type(above) is LightSpan:
            trace_id, parent_id = above.trace_id, above.span_id
            span = LightSpan(trace_id, span_id, above.like)
        else:
            trace_id, parent_id, like = self._place(above)
            span = LightSpan(trace_id, span_id, like)
        return OpenSpan(span, (trace_id, span_id, parent_id), surroundings)

    def _place(self, above: object) -> tuple[bytes, bytes, SpanContext]:
        like = above.get_span_context() if isinstance(above, Span) else INVALID_SPAN_CONTEXT
        if like.is_valid:
            return like.trace_id.to_bytes(16, "big"), like.span_id.to_bytes(8, "big"), like
        return self._random_bytes(16), b"", INVALID_SPAN_CONTEXT


class FullSpans:
    """Opens spans with the application's tracer, or with ids of its own."""

    has_readers = True

    def __init__(self, tracer: Tracer, random_bytes: RandomBytes) -> None:
        self._tracer = tracer
        self._random_bytes = random_bytes

    def open(self, name: str, attributes: Attributes, started_ns: int) -> ApplicationSpan:
        surroundings = context.get_current()
        parent = trace.get_current_span(surroundings).get_span_context()
        try:
            span = self._tracer.start_span(name, surroundings, attributes=attributes, start_time=started_ns)
            made = span.get_span_context()
        # The application's own sampler and processors run in here.
        except Exception as error:  # noqa: BLE001
            _log.error("A sampler or span processor of the application failed at the start of a span. %s", told(error))
            made = parent
        # Without a provider the tracer hands back the parent, or nothing.
        if made.span_id == parent.span_id or not made.is_valid:
            made = self._own(parent)
            span = NonRecordingSpan(made)
        above = parent.span_id.to_bytes(8, "big") if parent.is_valid else b""
        ids = made.trace_id.to_bytes(16, "big"), made.span_id.to_bytes(8, "big"), above
        return ApplicationSpan(span, ids, surroundings)

    def _own(self, parent: SpanContext) -> SpanContext:
        span_id = int.from_bytes(self._random_bytes(8), "big")
        if parent.is_valid:
            return SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)
        return SpanContext(int.from_bytes(self._random_bytes(16), "big"), span_id, False, _SAMPLED)
