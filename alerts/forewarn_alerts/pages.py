"""
From a hit to the page that tells of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from forewarn_alerts.notify.interface import Page
from forewarn_alerts.record import CallRecord
from forewarn_alerts.rules.engine import Match, RuleError, group_key
from forewarn_alerts.rules.model import RULE_ERROR, On, Rule, Severity

_ALREADY_ENDED: Final = "It has already ended, after {} ms: its sender tells of calls only when they are over."
_RULE_ERROR_RUNBOOK: Final = "docs/rules/rule-error.md"


@dataclass(frozen=True, slots=True)
class Links:
    """Where people open things. '' where there is no such place."""

    base_url: str = ""
    """Where traces are opened; `{trace_id}` in it is replaced, else `/traces/<id>` is added."""
    runbook_url: str = ""
    """Put before a runbook that is a path."""

    def trace(self, trace_id: str) -> str:
        if "{trace_id}" in self.base_url:
            return self.base_url.replace("{trace_id}", trace_id)
        return f"{self.base_url.rstrip('/')}/traces/{trace_id}" if self.base_url else ""

    def runbook(self, runbook: str) -> str:
        if not runbook or "://" in runbook or not self.runbook_url:
            return runbook
        return f"{self.runbook_url.rstrip('/')}/{runbook.lstrip('/')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule and a call that someone should hear of, with everything decided but the incident it belongs to."""

    key: str
    """
    The same for the same rule, moment, environment, trace and span: however often it is found, it counts once, and
    whoever has a key of another environment cannot be there first.
    """
    rule: Rule
    call: CallRecord
    on: str
    group: str
    at_ns: int
    summary: str
    note: str = ""


def hit_of(match: Match) -> Hit:
    hit = _hit(match.rule, match.call, str(match.rule.on), at_ns=match.call.at_ns)
    if match.call.ended_ns and match.rule.on is On.START:
        return replace(hit, note=_ALREADY_ENDED.format(match.call.duration_ms))
    return hit


def missing_end_hit(rule: Rule, call: CallRecord, *, due_at_ns: int) -> Hit:
    """The call's deadline has passed. The hit's time is the deadline, which a replay does not change."""
    note = (
        f"No end on record {_spoken(rule.after)} after the start: it is still running, or its process is gone"
        " and nobody knows whether it took effect."
    )
    return replace(_hit(rule, call, str(On.MISSING_END), at_ns=due_at_ns), note=note)


def rule_error_hit(error: RuleError) -> Hit:
    """A rule that failed on a call is reported to those the rule itself would have told."""
    failed = error.rule
    rule = replace(
        failed,
        id=RULE_ERROR,
        title=f"Rule {failed.id} could not be evaluated",
        severity=Severity.ERROR,
        summary=None,
        runbook=_RULE_ERROR_RUNBOOK,
        repeat_interval=timedelta(hours=1),
    )
    call = error.call
    return Hit(
        key=f"{RULE_ERROR}/{failed.id}/{call.kind}/{call.environment}/{call.trace_id}/{call.span_id}",
        rule=rule,
        call=call,
        on=str(call.kind),
        group=failed.id,
        at_ns=call.at_ns,
        summary=f"Rule {failed.id} failed on a call of {call.tool}: nobody is watching for what it should catch",
        note=f"{failed.source.name}: {error.message}",
    )


def page_of(hit: Hit, incident: str, links: Links) -> Page:
    call = hit.call
    before = (call.started_ns - call.reasoned_at_ns) // 1_000_000 if call.reasoned_at_ns else None
    return Page(
        incident=incident,
        rule=hit.rule.id,
        title=hit.rule.title,
        severity=hit.rule.severity,
        summary=hit.summary,
        on=hit.on,
        tool=call.tool,
        arguments=call.arguments,
        effect=call.effect,
        effect_source=call.effect_source,
        agent=call.agent,
        agent_path=call.agent_path,
        environment=call.environment,
        environment_claimed=call.environment_claimed,
        service=call.service,
        host=call.host,
        key_id=call.key_id,
        reasoning=call.reasoning,
        reasoned_before_ms=before if before is not None and before >= 0 else None,
        started_ns=call.started_ns,
        recorded_ns=call.at_ns,
        outcome=call.outcome,
        error_type=call.error_type,
        duration_ms=call.duration_ms,
        digest=call.digest,
        trace_id=call.trace_id,
        span_id=call.span_id,
        trace_url=links.trace(call.trace_id),
        runbook=links.runbook(hit.rule.runbook),
        note=hit.note,
        has_ended=call.ended_ns > 0,
    )


def _hit(rule: Rule, call: CallRecord, on: str, *, at_ns: int) -> Hit:
    return Hit(
        key=f"{rule.id}/{on}/{call.environment}/{call.trace_id}/{call.span_id}",
        rule=rule,
        call=call,
        on=on,
        group=group_key(rule, call),
        at_ns=at_ns,
        summary=rule.summary.of(call) if rule.summary else _plain_summary(rule, call),
    )


def _plain_summary(rule: Rule, call: CallRecord) -> str:
    who = call.agent_path or call.service or "an agent"
    return f"{rule.title}: {call.tool} by {who} in {call.environment or 'an unknown environment'}"


def _spoken(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"
