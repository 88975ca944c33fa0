"""
Which rules hit which records, and what is not even looked at.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn_alerts.errors import ExpressionFailed, Unreadable
from forewarn_alerts.record import CallRecord, Closed, read_calls
from forewarn_alerts.rules import Match, group_key, load_rules
from forewarn_alerts.rules.expressions import compile_expression
from forewarn_alerts.rules.variables import known_values
from forewarn_collector.log.interface import Record

RULE = "title: T\nseverity: error\non: {on}\nwhen: {when}\n"


def read(kit: Any, call: Any, rules: Any, *, ended: bool = False) -> list[Any]:
    return list(read_calls(call.record(ended=ended), rules))


def test_a_start_record_is_read_whole(kit: Any) -> None:
    """
    Every field that a page needs is taken from the span, its resource and the gateway's stamps.
    """
    [call] = read(kit, kit.Call(), load_rules())

    assert isinstance(call, CallRecord)
    assert (call.kind, call.tool, call.effect, call.effect_source) == ("start", "drop_table", "destructive", "declared")
    assert (call.agent_path, call.service, call.host) == ("janitor > cleaner", "billing-janitor", "db-tools-2")
    assert (call.environment, call.environment_claimed, call.key_id) == ("production", "production", "production_k1")
    assert (call.arguments, call.reasoning) == ('{"name": "customers"}', "customers looks stale.")
    assert (call.started_ns, call.at_ns, call.ended_ns) == (kit.EPOCH_NS, kit.EPOCH_NS, 0)


@pytest.mark.parametrize(
    ("effect", "scope", "seen"),
    [
        ("destructive", "forewarn", "destructive"),
        ("explosive", "forewarn", "unknown"),
        ("explosive", "elsewhere", "unknown"),
        (None, "forewarn", "unknown"),
        (None, "elsewhere", "unknown"),
    ],
)
def test_an_effect_that_is_not_known_counts_as_unknown(kit: Any, effect: str | None, scope: str, seen: str) -> None:
    """
    Unknown is as bad as destructive, whoever sent the record.
    """
    rules = kit.rules(any=RULE.format(on="start", when='call.tool == "drop_table"'))

    [call] = read(kit, kit.Call(effect=effect, scope=scope), rules)

    assert call.effect == seen


def test_records_that_no_rule_can_hit_are_not_read(kit: Any) -> None:
    """
    The environment and the effect decide before anything else is decoded.
    """
    rules = load_rules()

    assert read(kit, kit.Call(environment="staging", claimed="staging"), rules) == []
    assert read(kit, kit.Call(effect="read"), rules) == []
    assert read(kit, kit.Call(effect="read"), rules, ended=True) == []
    assert read(kit, kit.Call(), rules, ended=True) == [Closed(kit.Call().trace_id, kit.Call().span_id)]


def test_bytes_that_are_no_request_are_unreadable(kit: Any) -> None:
    """
    The error names the place in the log and shows nothing of the payload.
    """
    record = Record("otlp_spans", 0, 7, b"\xff\xff secret")

    with pytest.raises(Unreadable, match=r"^otlp_spans 0:7 is not an OTLP trace request$"):
        list(read_calls(record, load_rules()))


def test_a_rule_looks_only_at_its_moment(kit: Any) -> None:
    """
    `on: end` never fires on a start, nor the other way round.
    """
    rules = kit.rules(
        starts=RULE.format(on="start", when="production"), ends=RULE.format(on="end", when='call.outcome == "ok"')
    )

    [start], [end] = read(kit, kit.Call(), rules), read(kit, kit.Call(), rules, ended=True)

    assert [match.rule.id for match in rules.match(start)[0]] == ["starts"]
    assert [match.rule.id for match in rules.match(end)[0]] == ["ends"]
    assert end.duration_ms == 5


@pytest.mark.parametrize(
    ("when", "arguments", "message"),
    [
        ('call.arguments.nope == "x"', '{"name":"x"}', "NOT_FOUND"),
        ('call.tool.matches("(")', "{}", "invalid regular expression"),
        ("has(call.arguments.a)", "[1]", "is not a JSON object"),
        ("has(call.arguments.a)", "{broken", "is not JSON"),
        ('attributes["none"] == ""', "{}", "NOT_FOUND"),
    ],
)
def test_a_rule_error_is_never_true_and_never_silent(when: str, arguments: str, message: str) -> None:
    """
    An expression without an answer raises; cel's truthy error values count for nothing.
    """
    call = CallRecord(kind="start", trace_id="0" * 32, span_id="0" * 16, tool="t", arguments=arguments)  # type: ignore[arg-type]

    with pytest.raises(ExpressionFailed, match=message):
        compile_expression(when).holds(call)


def test_a_failing_rule_is_reported_and_the_others_go_on(kit: Any) -> None:
    """
    The engine returns the failure beside the hits.
    """
    rules = kit.rules(
        bad=RULE.format(on="start", when="call.arguments.nope == 1"), good=RULE.format(on="start", when="production")
    )
    [call] = read(kit, kit.Call(), rules)

    matches, errors = rules.match(call)

    assert [match.rule.id for match in matches] == ["good"]
    assert [(error.rule.id, error.call) for error in errors] == [("bad", call)]


@pytest.mark.parametrize("value", [2**70, -(2**63), 1.5, None, True, [1, 2**64], {"a": 2**64}, "\u2028"])
def test_any_json_value_can_stand_in_arguments(kit: Any, value: Any) -> None:
    """
    JSON's numbers have no bound and CEL's do; that is no rule error.
    """
    rules = kit.rules(has=RULE.format(on="start", when="has(call.arguments.name)"))

    [call] = read(kit, kit.Call(arguments={"name": value}), rules)

    assert rules.match(call) == ([Match(rules.rules[0], call)], [])


def test_calls_are_grouped_by_what_the_rule_names(kit: Any) -> None:
    """
    A call without a digest is a group of its own, so that nothing different is swallowed.
    """
    rules = load_rules()
    destructive, unknown = rules.get("destructive-in-production"), rules.get("unknown-effect-in-production")
    assert destructive is not None
    assert unknown is not None
    [first], [second] = (read(kit, kit.Call(number=n, digest=""), rules) for n in (1, 2))

    assert group_key(destructive, first) != group_key(destructive, second)
    assert group_key(unknown, first) == group_key(unknown, second) == "billing-janitor\ndrop_table"


ATOMS = (
    "production",
    'call.effect == "destructive"',
    'call.effect in ["unknown", "write"]',
    'environment == "staging"',
    "environment_claimed != environment",
    'call.tool == "drop_table"',
    "has(call.arguments.name)",
    'call.arguments.none == "x"',
    "call.duration_ms > 3",
)


def _joined(parts: tuple[str, str, str]) -> str:
    return f"({parts[0]} {parts[1]} {parts[2]})"


EXPRESSIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(_joined), inner.map(lambda text: f"!({text})")
    ),
    max_leaves=5,
)


@given(EXPRESSIONS)
def test_what_is_skipped_could_not_have_hit(text: str) -> None:
    """
    Where the known values rule an expression out, no call with those values is a hit or an error.
    """
    expression = compile_expression(text)
    cases = itertools.product(
        ("production", "staging", ""), ("", "staging"), ("read", "write", "destructive", "unknown")
    )
    for environment, claimed, effect in cases:
        call = CallRecord(
            kind="start",  # type: ignore[arg-type]
            trace_id="0" * 32,
            span_id="0" * 16,
            tool="drop_table",
            effect=effect,
            arguments='{"name":"x"}',
            environment=environment,
            environment_claimed=claimed,
        )

        skipped = not expression.may_hold(known_values(environment, claimed, effect))

        if skipped:
            assert expression.holds(call) is False
