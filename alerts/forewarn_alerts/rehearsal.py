"""
A rehearsal of the alarm: down the whole road once, before the first real call. Nothing is sent, nothing is kept.

The first page is then as fast as every later one (statements are compiled, clients are loaded), and a road that is
broken is found when the process starts, not at 3 a.m.
"""

from __future__ import annotations

from collections.abc import Collection

from forewarn_alerts.incidents import Findings, Incidents
from forewarn_alerts.notify.interface import Target
from forewarn_alerts.open_calls import Awaited
from forewarn_alerts.pages import hit_of
from forewarn_alerts.record import Closed
from forewarn_alerts.rules.engine import Match, RuleSet
from forewarn_alerts.rules.model import On

REHEARSAL = "rehearsal"


def rehearse(rules: RuleSet, incidents: Incidents, targets: Collection[Target]) -> int:
    """Take each rule's first firing example down the road; the number of pages that were made ready for a target."""
    first = [next((example.call for example in rule.tests if example.fires), None) for rule in rules.rules]
    matches = [Match(rule, call) for rule, call in zip(rules.rules, first, strict=True) if call is not None]
    for match in matches:
        rules.match(match.call)
    findings = Findings(
        hits=[hit_of(match) for match in matches if match.rule.on is not On.MISSING_END],
        awaited=[Awaited(match.rule, match.call) for match in matches if match.rule.on is On.MISSING_END],
        closed=[Closed(match.call.trace_id, match.call.span_id) for match in matches],
    )
    pages = incidents.rehearse(findings)
    for target in targets:
        target.prepare()
        for page in pages:
            target.render(page, f"{REHEARSAL}.{target.name}")
    return len(pages) * len(targets)
