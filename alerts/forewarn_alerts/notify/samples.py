"""
A page that says it is a test, for `forewarn notify test`.
"""

from __future__ import annotations

from forewarn_alerts.notify.interface import Page
from forewarn_alerts.rules.model import Severity


def sample_page(incident: str, *, at_ns: int) -> Page:
    """Looks like the real thing and is labelled in its first word."""
    return Page(
        incident=incident,
        rule="notify-test",
        title="Test of a target",
        severity=Severity.INFO,
        summary="this is a test page from Forewarn; nothing has happened",
        on="start",
        tool="drop_table",
        arguments='{"name":"customers_old","cascade":false}',
        effect="destructive",
        effect_source="declared",
        agent="cleaner",
        agent_path="janitor > cleaner",
        environment="test",
        environment_claimed="test",
        service="forewarn",
        host="",
        key_id="",
        reasoning="This is what an agent's reasoning looks like in a page.",
        reasoned_before_ms=800,
        started_ns=at_ns,
        recorded_ns=at_ns,
        outcome="",
        error_type="",
        duration_ms=0,
        digest="",
        trace_id="0" * 32,
        span_id="0" * 16,
        trace_url="",
        runbook="",
        note="",
        is_test=True,
    )
