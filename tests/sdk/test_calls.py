"""
The road of a call: what ran is what was recorded, and every way out leaves a record.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import forewarn
from forewarn.testing import FIRST_TICK_NS, TICK_NS, record


@forewarn.tool(effect="read")
def look(table: str, limit: int = 10, *more: str, deep: bool = False, **rest: object) -> str:
    return f"{table}:{limit}"


def digests(recorded: Any) -> set[str]:
    return {one["attributes"]["forewarn.call.digest"] for one in recorded.records}


def test_a_read_call_leaves_a_start_and_an_end() -> None:
    """
    Both records carry the same ids and arguments; the end adds the outcome.
    """
    with record() as recorded:
        look("users", 3)

    start, end = recorded.records
    arguments = '{"table":"users","limit":3,"more":[],"deep":false,"rest":{}}'
    shared = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "function",
        "forewarn.effect": "read",
        "forewarn.effect.source": "declared",
        "gen_ai.tool.call.arguments": arguments,
        "forewarn.call.digest": start["attributes"]["forewarn.call.digest"],
    }
    ids = {"trace_id": f"{2:032x}", "span_id": f"{1:016x}", "parent_span_id": "", "name": "execute_tool look"}
    assert start == {
        **ids,
        "record": "start",
        "start_ns": FIRST_TICK_NS,
        "end_ns": 0,
        "status": None,
        "attributes": {**shared, "forewarn.sequence": 1},
    }
    assert end == {
        **ids,
        "record": "end",
        "start_ns": FIRST_TICK_NS,
        "end_ns": FIRST_TICK_NS + 2 * TICK_NS,
        "status": None,
        "attributes": {
            **shared,
            "forewarn.sequence": 2,
            "forewarn.outcome": "ok",
            "gen_ai.tool.call.result": '"users:3"',
            "forewarn.tool.started_unix_nano": FIRST_TICK_NS + TICK_NS,
        },
    }


@pytest.mark.parametrize(
    "call",
    [
        lambda: look("users", 10),
        lambda: look("users"),
        lambda: look(table="users"),
        lambda: look(limit=10, table="users"),
        lambda: look("users", limit=10, deep=False),
    ],
    ids=["positional", "default", "keyword", "keywords in another order", "default given"],
)
def test_the_form_of_a_call_makes_no_difference_to_its_digest(call: Callable[[], object]) -> None:
    """
    Positional, keyword and default arguments give the same digest.
    """
    with record() as recorded:
        look("users", 10)
        call()

    assert len(digests(recorded)) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: look("users", 11),
        lambda: look("user"),
        lambda: look("users", 10, deep=True),
        lambda: look("users", 10, "x"),
        lambda: look("users", x=1),
    ],
    ids=["value", "text", "keyword only", "one more", "one more by name"],
)
def test_another_call_has_another_digest(call: Callable[[], object]) -> None:
    """
    Every argument counts.
    """
    with record() as recorded:
        look("users")
        call()

    assert len(digests(recorded)) == 2


def test_agent_and_environment_count_in_the_digest() -> None:
    """
    The same arguments from another agent, or in another environment, are another call.
    """
    seen = set()
    for environment in ("test", "staging"):
        with record(environment=environment) as recorded:
            look("users")
            with forewarn.agent("janitor"):
                look("users")
        seen |= {one["attributes"]["forewarn.call.digest"] for one in recorded.calls("look")}

    assert len(seen) == 4


def test_the_digest_is_what_the_convention_says() -> None:
    """
    SHA-256 over the RFC 8785 form of {tool, arguments, agent path, environment}, before redaction.
    """
    import hashlib

    import rfc8785

    @forewarn.tool(effect="read", name="log in")
    def login(user: str, password: str, weight: float = 1.0) -> None: ...

    with record(environment="staging") as recorded, forewarn.agent("jänitor"):
        login("ann", "hunter2")

    whole = {
        "agent_path": "jänitor",
        "arguments": {"user": "ann", "password": "hunter2", "weight": 1.0},
        "environment": "staging",
        "tool": "log in",
    }
    (end,) = recorded.calls("log in")
    assert end["attributes"]["forewarn.call.digest"] == hashlib.sha256(rfc8785.dumps(whole)).hexdigest()
    assert "hunter2" not in str(recorded.records)


def test_the_tool_gets_the_very_objects_it_was_called_with() -> None:
    """
    Nothing is copied or sanitised on the way.
    """
    got: list[Any] = []

    @forewarn.tool(effect="read")
    def keep(first: Any, *others: Any, last: Any = None, **rest: Any) -> Any:
        got.extend([first, *others, last, *rest.values()])
        return first

    given = [object(), {"a": 1}, [1], {"password": "x"}, object()]
    with record():
        result = keep(given[0], given[1], given[2], last=given[3], other=given[4])

    assert [id(one) for one in got] == [id(one) for one in given]
    assert result is given[0]


def test_a_mutation_during_the_call_changes_nothing_on_record() -> None:
    """
    Arguments are encoded when the call starts.
    """

    @forewarn.tool(effect="read")
    def spoil(rows: list[int], options: dict[str, Any]) -> None:
        rows.clear()
        options["limit"] = 0

    with record() as recorded:
        spoil([1, 2], {"limit": 5})

    assert {one["attributes"]["gen_ai.tool.call.arguments"] for one in recorded.records} == {
        '{"rows":[1,2],"options":{"limit":5}}'
    }


def test_wrong_arguments_are_pythons_own_type_error() -> None:
    """
    A call that cannot be bound did not start, and nothing is recorded.
    """
    with record() as recorded:
        with pytest.raises(TypeError, match=r"^look\(\) missing 1 required positional argument: 'table'$"):
            look()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            look("users", table="users")  # type: ignore[misc]

    assert recorded.records == []


def test_a_failing_end_record_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """
    The result comes back, and what went wrong is said, although the end could not be written.
    """
    with record() as recorded:

        @forewarn.tool(effect="read")
        def fill() -> str:
            recorded.spool.full = True
            return "done"

        assert fill() == "done"

    assert [one["record"] for one in recorded.records] == ["start"]
    assert "could not keep a record" in caplog.text


def test_a_failing_end_record_does_not_mask_the_tools_own_error() -> None:
    """
    The exception that comes out is the tool's.
    """
    with record() as recorded:

        @forewarn.tool(effect="read")
        def fail() -> None:
            recorded.spool.full = True
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            fail()


def test_a_spool_that_is_full_stops_no_read_call(caplog: pytest.LogCaptureFixture) -> None:
    """
    Read calls run on; the loss is said once, counted, and goes on record by its numbers as soon as there is room.
    """
    with record() as recorded:
        recorded.spool.full = True
        look("a")
        look("b")
        recorded.spool.full = False
        look("c")

    assert caplog.text.count("could not keep a record") == 1
    start, loss, end = recorded.records
    assert [one["attributes"]["forewarn.sequence"] for one in (start, loss, end)] == [5, 6, 7]
    assert loss["attributes"]["forewarn.lost.sequences"] == "1-4"


def test_threads_do_not_mix_their_calls() -> None:
    """
    Under 8 threads each call has its start and end, each sequence number is there once, and agents stay apart.
    """
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        with forewarn.agent(f"agent {number}"):
            for row in range(50):
                look(f"{number}", row)

    with record() as recorded, ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    records = recorded.records
    calls = recorded.calls("look")
    assert sorted(one["attributes"]["forewarn.sequence"] for one in records) == list(range(1, len(records) + 1))
    assert len(calls) == 400
    assert all(
        one["attributes"]["forewarn.agent.path"] == f"agent {one['attributes']['gen_ai.tool.call.result'][1]}"
        for one in calls
    )


async def test_tasks_do_not_mix_their_calls() -> None:
    """
    Under many tasks each call is under its own agent.
    """

    @forewarn.tool(effect="read")
    async def fetch(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def work(number: int) -> None:
        async with forewarn.agent(f"{number}"):
            for _ in range(5):
                await fetch(number)

    with record() as recorded:
        await asyncio.gather(*(work(number) for number in range(20)))

    assert len(recorded.calls("fetch")) == 100
    assert all(
        one["attributes"]["forewarn.agent.path"] == one["attributes"]["gen_ai.tool.call.result"]
        for one in recorded.calls("fetch")
    )
