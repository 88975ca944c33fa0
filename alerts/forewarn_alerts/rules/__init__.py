"""Rule files in, hits out."""

from forewarn_alerts.rules.engine import Match, RuleError, RuleSet, group_key
from forewarn_alerts.rules.examples import Verdict, run_examples
from forewarn_alerts.rules.faults import RuleFaults
from forewarn_alerts.rules.loading import library_folder, load_rules
from forewarn_alerts.rules.model import RULE_ERROR, Example, On, Rule, Severity
from forewarn_collector.documents import Fault

__all__ = [
    "RULE_ERROR",
    "Example",
    "Fault",
    "Match",
    "On",
    "Rule",
    "RuleError",
    "RuleFaults",
    "RuleSet",
    "Severity",
    "Verdict",
    "group_key",
    "library_folder",
    "load_rules",
    "run_examples",
]
