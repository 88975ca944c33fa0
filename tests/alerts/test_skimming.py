"""Bulk that no rule asks for is not read; whatever might concern one is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn import conventions as c
from forewarn_alerts import skimming
from forewarn_alerts.record import Interest, read_calls
from forewarn_alerts.skimming import concerns_nobody
from forewarn_collector.dialects.table import OWN_SCOPE
from forewarn_collector.log.interface import Record


class Rules:
    """Production wants to know of destructive and unknown calls, nobody else of any."""

    def interest(self, environment: str, claimed: str) -> Interest:
        asked = frozenset({"destructive", "unknown"}) if "production" in {environment, claimed} else frozenset()
        return Interest(starts=asked, closing=asked)


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skimming, "_WORTH_BYTES", 0)


def call(otlp: Any, number: int, effect: str | None, **attributes: Any) -> Any:
    said = {c.TOOL_NAME: "t", **({c.EFFECT: effect} if effect else {}), **attributes}
    return otlp.span(number, name="execute_tool t", attributes=said)


def record(body: bytes, environment: str = "production") -> Record:
    return Record(c.Topic.SPANS, 0, 0, body, headers={c.Stamp.ENVIRONMENT: environment.encode()})


def effects(otlp: Any, said: Iterable[str | None]) -> list[Any]:
    return [call(otlp, number, effect) for number, effect in enumerate(said, 1)]


def test_calls_that_no_rule_asks_for_are_not_read(otlp: Any) -> None:
    """Of any number of resources, with spans between them that are no calls."""
    body = otlp.request(*effects(otlp, ["read", "write", "read"]), otlp.span(9, name="chat m"))

    assert concerns_nobody(record(body + body), Rules())


@pytest.mark.parametrize("effect", ["destructive", "unknown", "deletes", "", None])
def test_one_call_that_may_matter_is_enough(otlp: Any, effect: str | None) -> None:
    """Among any number of others; an effect that nobody knows is `unknown`."""
    spans = [*effects(otlp, ["read", "write"]), call(otlp, 3, effect)]

    assert not concerns_nobody(record(otlp.request(*spans)), Rules())


@pytest.mark.parametrize("said", [{c.EFFECT: "read", "a": 1}, {"a": {c.EFFECT: "read"}}], ids=["attribute", "map"])
def test_a_second_opinion_hides_nothing(otlp: Any, said: dict[str, Any]) -> None:
    """Whatever else a destructive call says of itself."""
    body = otlp.request(call(otlp, 1, "destructive"), otlp.span(2, attributes=said))

    assert not concerns_nobody(record(body), Rules())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["read", "write", "destructive", "unknown", "deletes", None]), max_size=6))
def test_what_is_skipped_holds_nothing(otlp: Any, said: list[str | None]) -> None:
    """As reading it would show."""
    found = record(otlp.request(*effects(otlp, said)))

    if concerns_nobody(found, Rules()):
        assert list(read_calls(found, Rules())) == []


def test_where_no_rule_asks_for_anything_everything_is_skipped(otlp: Any) -> None:
    """An environment's key says where it is."""
    body = otlp.request(*effects(otlp, ["destructive", "read"]))

    assert concerns_nobody(record(body, "development"), Rules())
    assert not concerns_nobody(record(body, "production"), Rules())


def test_what_a_sender_claims_counts(otlp: Any) -> None:
    """As it does where records are read."""
    claim = {c.DEPLOYMENT_ENVIRONMENT_NAME: "production"}
    body = otlp.request(*effects(otlp, ["destructive"]), resource=claim)

    assert not concerns_nobody(record(body, "development"), Rules())


def test_what_others_send_is_read(otlp: Any) -> None:
    """They have words of their own for calls and effects."""
    body = otlp.request(*effects(otlp, ["read"])).replace(OWN_SCOPE.encode(), b"theirs!!", 1)

    assert not concerns_nobody(record(body), Rules())


def test_what_is_no_request_is_read(otlp: Any) -> None:
    """Where it is told of."""
    body = otlp.request(*effects(otlp, ["read"]))

    assert not concerns_nobody(record(body[:-1] + b"\xff" * 20), Rules())
    assert not concerns_nobody(record(body[:-3]), Rules())
