"""
What the log says of trouble: enough to mend it, and nothing of what the tool's own error said.
"""

from __future__ import annotations

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

import forewarn
from forewarn.testing import record


class Broken(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None: ...

    def on_end(self, span: ReadableSpan) -> None:
        try:
            raise KeyError("the queue")
        except KeyError as error:
            raise RuntimeError("the exporter is broken") from error


def test_a_broken_processor_is_told_without_the_tools_error(caplog: pytest.LogCaptureFixture) -> None:
    """
    A traceback in the log ends where the tool's own error begins, whose text nobody has redacted.
    """
    provider = TracerProvider()
    provider.add_span_processor(Broken())

    @forewarn.tool(effect="write")
    def connect() -> None:
        raise ValueError("password=correct-horse")

    with record(tracer_provider=provider), pytest.raises(ValueError, match="correct-horse"):
        connect()

    provider.shutdown()
    assert "RuntimeError: the exporter is broken" in caplog.text
    assert "correct-horse" not in caplog.text
