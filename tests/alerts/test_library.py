"""
The shipped rules: each is tested by itself and has its page.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from forewarn_alerts.rules import RULE_ERROR, Rule, load_rules, run_examples
from forewarn_alerts.rules.variables import VARIABLES

PAGES = Path(__file__).parents[2] / "docs" / "rules"
RULES = load_rules(routes=("oncall",)).rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_tests_inside_pass(rule: Rule) -> None:
    """
    Each shipped rule has a case that fires and one that is silent, and both hold.
    """
    verdicts = run_examples(rule)

    assert [verdict for verdict in verdicts if not verdict.passed] == []
    assert {verdict.example.fires for verdict in verdicts} == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_rule_has_its_page(rule: Rule) -> None:
    """
    The page says what the rule means, what to do first, and how to silence or mend it.
    """
    page = (PAGES / f"{rule.id}.md").read_text()

    assert rule.runbook == f"docs/rules/{rule.id}.md"
    assert page.startswith(f"# {rule.title}\n")
    for heading in ("## What it means", "## First steps", "## Silence or mend it"):
        assert heading in page


def test_no_page_is_without_its_rule() -> None:
    """
    Pages and rules agree; the built-in rule has a page, too.
    """
    pages = {page.stem for page in PAGES.glob("*.md")} - {"index"}

    assert pages == {rule.id for rule in RULES} | {RULE_ERROR}


def test_the_index_tells_of_every_rule_and_every_name() -> None:
    """
    The table of names is the one that expressions are checked against.
    """
    index = (PAGES / "index.md").read_text()

    for rule in RULES:
        assert f"| [{rule.id}]({rule.id}.md) | {rule.severity} |" in index
    for name, variable in VARIABLES.items():
        assert f"| `{name}` | {variable.kind.value} | {variable.doc} |" in index
