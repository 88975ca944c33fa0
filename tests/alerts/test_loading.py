"""
Rule files: every fault at its place, or rules that are ready.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from forewarn_alerts.rules import On, RuleFaults, Severity, load_rules

GOOD = """\
title: A payout
severity: error
on: end
when: call.tool == "payout" && call.outcome == "error"
"""


def faults_of(folder: Path, text: str, *, name: str = "rule", routes: tuple[str, ...] | None = None) -> list[str]:
    """`line:column: message` of every fault."""
    path = folder / f"{name}.yaml"
    path.write_text(text)
    with pytest.raises(RuleFaults) as caught:
        load_rules([path], routes=routes, library=False)
    assert all(fault.path == path and fault.do for fault in caught.value.faults)
    return [f"{fault.line}:{fault.column}: {fault.message}" for fault in caught.value.faults]


def test_a_rule_file_becomes_a_rule(tmp_path: Path) -> None:
    """
    The file's name is the id, and what is not written has its default.
    """
    (tmp_path / "payout-failed.yaml").write_text(GOOD)

    [rule] = load_rules([tmp_path], library=False).rules

    assert (rule.id, rule.severity, rule.on) == ("payout-failed", Severity.ERROR, On.END)
    assert (rule.group_by, rule.notify) == (("environment", "service", "call.digest"), ("oncall",))
    assert (rule.repeat_interval, rule.after) == (timedelta(hours=1), timedelta(0))


def test_all_faults_of_a_file_are_told_at_once_each_at_its_place(tmp_path: Path) -> None:
    """
    One fault does not hide the next, and each names line and column.
    """
    text = """\
title: Everything wrong
severity: urgent
on: start
when: call.efect == "destructive" && enviroment == 1
after: 60s
group_by: [call.digest, call.arguments]
repeat_intervall: 1h
notify: [oncall, nights]
summary: "{call.tol} ran"
gate: ask
tests:
  - fires: {tol: x, effect: explosive}
  - silent: {duration_ms: "3"}
    fires: {tool: x}
title: Twice
"""

    found = faults_of(tmp_path, text, routes=("oncall",))

    assert found == [
        "2:11: `severity` cannot be 'urgent'",
        "4:11: `when`: `call.efect` is not a name of the record",
        "4:38: `when`: `enviroment` is not a name of the record",
        "5:1: `after` is only for `on: missing_end`",
        "6:25: `call.arguments` is not a value to group by",
        "7:1: `repeat_intervall` is not a key here",
        "8:18: `nights` is not a route",
        "9:10: `summary`: `call.tol` is not a name of the record",
        "10:1: `gate` is not done by this version",
        "12:13: `tol` is not a word for a call",
        "12:29: `effect` cannot be 'explosive'",
        "13:5: a test is one of `fires` and `silent`",
        "15:1: `title` is written twice (first on line 1)",
    ]


def test_the_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """
    The second file is read though the first is faulty, and nothing is loaded.
    """
    (tmp_path / "a.yaml").write_text(GOOD.replace("on: end", "on: event"))
    (tmp_path / "b.yaml").write_text(GOOD.replace("severity: error\n", ""))
    (tmp_path / "c.yaml").write_text(GOOD)

    with pytest.raises(RuleFaults) as caught:
        load_rules([tmp_path, tmp_path / "nowhere"], library=False)

    told = [str(fault).removeprefix(f"{tmp_path}/") for fault in caught.value.faults]
    assert told == [
        "a.yaml:3:5: `on` cannot be 'event'; write 'start', 'end' or 'missing_end' (this version knows no other)",
        "b.yaml:1:1: `severity` is missing; add `severity: critical` (or error, warning, info)",
        "nowhere:1:1: there is no such file or folder; name a rule file or a folder of them",
    ]


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ("when: call.efect == 'x'", "4:11"),
        ("when: \"call.tool == 'a' && call.efect == 'x'\"", "4:32"),
        ("when: |\n  call.tool == 'a' &&\n    call.efect == 'x'", "6:9"),
        ("when: >-\n  call.tool == 'a' &&\n  call.efect == 'x'", "6:7"),
        ("when: call.tool == 'a' &&\n  call.efect == 'x'", "5:7"),
        ("when: 'call.tool == ''a'' && call.efect == ''x'''", "4:34"),
    ],
)
def test_a_fault_inside_an_expression_is_mapped_into_the_file(tmp_path: Path, when: str, place: str) -> None:
    """
    However YAML wraps the text, the fault points at the character in the file.
    """
    text = GOOD.replace(GOOD.splitlines()[3], when)

    assert faults_of(tmp_path, text) == [f"{place}: `when`: `call.efect` is not a name of the record"]


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("when: call.tool", "4:7", "`when`: this is of type string, not bool"),
        ("when: call.arguments.confirmed", "4:7", "`when`: this is of type dyn, not bool"),
        ("when: call.tool == 5", "4:17", "`when`: found no matching overload for '_==_' applied to '(string, int)'"),
        ("when: true", "4:7", "`when`: input should be a valid string"),
        ("when: ''", "4:7", "`when`: string should have at least 1 character"),
        ("when: [a]", "4:7", "`when`: input should be a valid string"),
    ],
)
def test_only_a_condition_is_taken(tmp_path: Path, line: str, place: str, message: str) -> None:
    """
    What is not typed as bool is refused when the rule is loaded, not at three in the morning.
    """
    assert faults_of(tmp_path, GOOD.replace(GOOD.splitlines()[3], line)) == [f"{place}: {message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        ("- a\n- b\n", "1:1: a rule file is a map of keys"),
        ("title: [a\n", "2:1: this is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("title: a\n\ton: b\n", "2:1: this is not YAML: found character '\\t' that cannot start any token"),
        ("a: &a [*a]\n", "1:4: an alias that contains itself"),
    ],
)
def test_what_is_no_rule_at_all_is_said_plainly(tmp_path: Path, text: str, message: str) -> None:
    """
    Broken YAML and other shapes give one clear fault.
    """
    assert message in faults_of(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("repeat_interval: 1 hour", "5:18: `repeat_interval`: '1 hour' is not a duration"),
        ("repeat_interval: 0s", "5:18: `repeat_interval`: '0s' must be above zero"),
        ("repeat_interval: 900000d", "5:18: `repeat_interval`: '900000d' must be above zero and at most 366d"),
        ("summary: '{call.tool'", "5:10: `summary`: expected '}' before end of string"),
        ("summary: '{call.tool:>10}'", "5:10: `summary`: `call.tool` is followed by a format"),
        ("summary: '{call.arguments}'", "5:10: `summary`: `call.arguments` is a map"),
        ("group_by: []", "5:11: `group_by`: list should have at least 1 item"),
        ("notify: oncall", "5:9: `notify`: input should be a valid list"),
        ("count: {over: 3}", "5:1: `count` is not done by this version"),
        ("tests: [fires]", "5:9: `0`: input should be a valid dictionary"),
    ],
)
def test_each_key_is_checked(tmp_path: Path, line: str, message: str) -> None:
    """
    A value of the wrong kind is a fault at the value.
    """
    [fault] = faults_of(tmp_path, f"{GOOD}{line}\n")

    assert fault.startswith(message)


def test_a_missing_end_needs_its_time(tmp_path: Path) -> None:
    """
    Without `after` there would be no deadline.
    """
    text = GOOD.replace("on: end", "on: missing_end")

    assert faults_of(tmp_path, text) == ["3:5: `missing_end` needs `after`"]


def test_a_file_replaces_the_shipped_rule_of_its_name(tmp_path: Path) -> None:
    """
    A house mends a shipped rule by a file of the same name.
    """
    (tmp_path / "destructive-in-production.yaml").write_text(GOOD)

    rules = load_rules([tmp_path])

    replaced = rules.get("destructive-in-production")
    assert replaced is not None
    assert (replaced.title, replaced.shipped) == ("A payout", False)
    assert len(rules) == len(load_rules())


def test_two_files_of_one_name_are_a_fault(tmp_path: Path) -> None:
    """
    The name is the id, so it must be the only one.
    """
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.yaml").write_text(GOOD)

    with pytest.raises(RuleFaults, match=r"b/same.yaml:1:1: `same` is also .*a/same.yaml"):
        load_rules([tmp_path], library=False)
