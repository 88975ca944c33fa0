"""
Refusals: what may be destructive runs only when it is on record and allowed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import forewarn
from forewarn.testing import record, refuse, unreachable


@pytest.mark.parametrize("decision", ["deny", "ask", "dry_run", "ALLOW", "", "allowed", "null"])
def test_only_allow_lets_a_destructive_call_run(decision: str) -> None:
    """
    Every other decision, known or not, refuses; the refusal is on record.
    """
    ran = []

    @forewarn.tool(effect="destructive")
    def drop(name: str) -> None:
        ran.append(name)

    with (
        record(refuse(decision, rule="no-drops", reason="office hours"), environment="development") as recorded,
        pytest.raises(forewarn.Refused, match="NOT run") as caught,
    ):
        drop("customers")

    assert ran == []
    assert (caught.value.tool, caught.value.rule) == ("drop", "no-drops")
    assert [one["record"] for one in recorded.records] == ["start", "end"]
    assert recorded.ends[0]["attributes"]["forewarn.outcome"] == "refused"
    assert recorded.ends[0]["attributes"]["forewarn.decision"] == decision


@pytest.mark.parametrize("environment", ["production", "prod", "live", "", "prodction", "test2"])
@pytest.mark.parametrize("effect", ["destructive", None])
def test_unacknowledged_in_production_does_not_run(environment: str, effect: Any) -> None:
    """
    In production, and where the environment is not known, an unacknowledged call is refused, and that is on record.
    """
    ran = []

    @forewarn.tool(effect=effect)
    def drop(name: str) -> None:
        ran.append(name)

    with record(unreachable, environment=environment) as recorded, pytest.raises(forewarn.NotRecorded) as caught:
        drop("customers")

    assert ran == []
    assert str(caught.value) == (
        "The tool drop was NOT run and has changed nothing: its call could not be put on record (no gateway in this "
        "test), and a call that may be destructive does not run unrecorded. Do not retry it, and do not do the same "
        "with another tool. Stop, and tell the user or operator: script another answer."
    )
    assert [(one["record"], one["attributes"].get("forewarn.outcome")) for one in recorded.records] == [
        ("start", None),
        ("end", "refused"),
    ]


def test_unacknowledged_elsewhere_runs_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """
    In development the call runs, its record goes to the spool, and the log says what production would have done.
    """

    @forewarn.tool(effect="destructive")
    def drop(name: str) -> str:
        return name

    with record(unreachable, environment="development") as recorded:
        result = drop("customers")

    assert result == "customers"
    assert "drop (destructive) runs though its record is not acknowledged: no gateway in this test" in caplog.text
    assert [one["attributes"]["forewarn.sequence"] for one in recorded.records] == [1, 2]


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator"])
async def test_no_kind_of_tool_runs_when_refused(kind: str) -> None:
    """
    The gate is the same for all four kinds.
    """
    ran = []

    def plain() -> None:
        ran.append(1)

    async def coroutine() -> None:
        ran.append(1)

    def generator() -> Iterator[int]:
        ran.append(1)
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        ran.append(1)
        yield 1

    async def call() -> None:
        match kind:
            case "plain":
                forewarn.tool(plain)()
            case "coroutine":
                await forewarn.tool(coroutine)()
            case "generator":
                next(forewarn.tool(generator)())
            case _:
                await anext(forewarn.tool(async_generator)())  # type: ignore[arg-type]

    with record(unreachable, environment="production") as recorded, pytest.raises(forewarn.NotRecorded):
        await call()

    assert ran == []
    assert [one["attributes"]["forewarn.outcome"] for one in recorded.ends] == ["refused"]


def test_an_inner_refusal_is_the_outer_tools_error() -> None:
    """
    Only the tool that was refused says refused.
    """

    @forewarn.tool(effect="destructive")
    def drop() -> None: ...

    @forewarn.tool(effect="read")
    def outer() -> None:
        drop()

    with record(refuse()) as recorded, pytest.raises(forewarn.Refused):
        outer()

    assert [(one["name"], one["attributes"]["forewarn.outcome"]) for one in recorded.ends] == [
        ("execute_tool drop", "refused"),
        ("execute_tool outer", "error"),
    ]
