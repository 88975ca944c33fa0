"""
What a page says, in the order a tired person needs it. Each target lays it out and cuts it its own way.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from forewarn.conventions import is_production
from forewarn_alerts.notify.interface import Page

_ELLIPSIS: Final = "…"
_SHORT_TRACE: Final = 16


def cut(text: str, limit: int) -> str:
    """At most `limit` characters; a cut is visible."""
    return text if len(text) <= limit else text[: limit - len(_ELLIPSIS)] + _ELLIPSIS


def headline(page: Page) -> str:
    label = "[TEST] " if page.is_test else ""
    return f"{label}{page.severity.upper()} {environment(page)}: {page.summary}"


def call(page: Page, limit: int) -> str:
    """The call as one line: `drop_table({"name": "customers"})`."""
    return f"{page.tool}({cut(page.arguments, limit)})"


def environment(page: Page) -> str:
    """Verified; and whether that is a known environment at all."""
    if page.environment:
        return page.environment
    return "an unverified environment" if is_production(page.environment) else ""


def claim(page: Page) -> str:
    """What the process says of its environment where that is not what its key stands for; '' where it is."""
    if page.environment_claimed == page.environment:
        return ""
    return f"{page.environment_claimed} (NOT what its key stands for)" if page.environment_claimed else "nothing"


def reasoning(page: Page, limit: int) -> str:
    """Why the agent did it, in its own words, and how long before."""
    if not page.reasoning:
        return "no reasoning on record"
    return f"{cut(page.reasoning, limit)}{_before(page.reasoned_before_ms)}"


def _before(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return "  (right before)" if milliseconds < 100 else f"  ({milliseconds / 1000:.1f} s before)"


def when(nanoseconds: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    at = datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def facts(page: Page) -> list[tuple[str, str]]:
    """Label and text of everything that fits one line."""
    said = f"{_outcome(page)}, {page.error_type}" if page.error_type else _outcome(page)
    lines = [
        ("agent", page.agent_path or page.agent or "unnamed"),
        ("service", page.service or "unnamed"),
        ("host", page.host),
        ("environment", f"{environment(page)} (verified by key {page.key_id})" if page.key_id else environment(page)),
        ("claims to run in", claim(page)),
        ("effect", f"{page.effect or 'not said'} ({page.effect_source})" if page.effect_source else page.effect),
        ("started", when(page.started_ns)),
        ("outcome", said),
        ("rule", page.rule),
        ("incident", page.incident),
        ("trace", page.trace_id),
    ]
    return [(label, text) for label, text in lines if text]


def _outcome(page: Page) -> str:
    if page.outcome:
        return f"{page.outcome} after {page.duration_ms} ms"
    return f"not said, ended after {page.duration_ms} ms" if page.has_ended else "running or unknown"


def next_steps(page: Page) -> list[str]:
    """What to do now, first things first."""
    if page.is_test:
        return ["Nothing to do: this is a test of the target."]
    steps = [f"Look at what it did: forewarn traces show {page.trace_id[:_SHORT_TRACE]}"]
    if page.trace_url:
        steps.append(f"Or in the browser: {page.trace_url}")
    if page.runbook:
        steps.append(f"Runbook: {page.runbook}")
    if page.key_id:
        steps.append(
            f"If it must not go on: forewarn keys revoke {page.key_id}"
            " (no later destructive call with this key is put on record, so in production none will start)"
        )
    return steps
