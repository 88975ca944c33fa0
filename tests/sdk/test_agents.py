"""
Agents and reasoning: who called, and why, on every record.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import forewarn
from forewarn.testing import TICK_NS, record


@forewarn.tool(effect="read")
def look(table: str = "users") -> str:
    return table


def attribute(one: dict[str, Any], name: str) -> Any:
    return one["attributes"].get(name)


def test_an_agent_is_on_record_from_start_to_end() -> None:
    """
    Entering writes a start, leaving an end; the task is on both, the calls within are its children.
    """
    with record() as recorded, forewarn.agent("janitor", task="clean up"):
        look()

    start, call_start, call_end, end = recorded.records
    assert (start["name"], start["record"], end["record"]) == ("invoke_agent janitor", "start", "end")
    assert attribute(start, "forewarn.agent.task") == attribute(end, "forewarn.agent.task") == "clean up"
    assert attribute(end, "forewarn.outcome") == "ok"
    assert {call_start["parent_span_id"], call_end["parent_span_id"]} == {start["span_id"]}
    assert attribute(call_start, "gen_ai.agent.name") == attribute(call_start, "forewarn.agent.path") == "janitor"


def test_a_sub_agents_path_names_all_above_it() -> None:
    """
    Nested agents give `a > b > c`, and leaving one gives the one above back.
    """
    with record() as recorded, forewarn.agent("a"):
        with forewarn.agent("b"), forewarn.agent("c"):
            look()
        look()
    look_paths = [attribute(one, "forewarn.agent.path") for one in recorded.calls("look")]

    assert look_paths == ["a > b > c", "a"]


def test_an_agent_that_fails_leaves_its_outcome() -> None:
    """
    The exception passes through, its type and text are on the agent's end record.
    """
    with record() as recorded, pytest.raises(LookupError), forewarn.agent("a"):
        raise LookupError("lost")

    (end,) = recorded.ends
    assert (attribute(end, "forewarn.outcome"), attribute(end, "error.type"), end["status"]) == (
        "error",
        "LookupError",
        "lost",
    )


def test_reasoning_goes_with_the_calls_that_follow() -> None:
    """
    The latest reasoning is on each next call's start, with its span's id; a later one replaces it.
    """
    with record() as recorded, forewarn.agent("a"):
        look("before")
        forewarn.reason("users looks stale")
        look("first")
        look("second")
        forewarn.reason("orders too")
        look("third")

    reasons = {one["attributes"]["forewarn.reasoning"]: one for one in recorded.records if one["name"] == "reason"}
    seen = {
        attribute(one, "gen_ai.tool.call.arguments"): (
            attribute(one, "forewarn.reasoning"),
            attribute(one, "forewarn.reasoning.span_id"),
        )
        for one in recorded.starts
        if one["name"] == "execute_tool look"
    }
    stale, too = reasons["users looks stale"]["span_id"], reasons["orders too"]["span_id"]
    assert list(seen.values()) == [
        (None, None),
        ("users looks stale", stale),
        ("users looks stale", stale),
        ("orders too", too),
    ]
    assert all(one["start_ns"] == one["end_ns"] for one in reasons.values())
    assert all(attribute(one, "forewarn.agent.path") == "a" for one in reasons.values())


def test_reasoning_belongs_to_its_agent() -> None:
    """
    A sub-agent does not answer for its parent's reasons, nor the other way round.
    """
    with record() as recorded, forewarn.agent("a"):
        forewarn.reason("mine")
        with forewarn.agent("b"):
            look("1")
            forewarn.reason("theirs")
        look("2")

    assert [attribute(one, "forewarn.reasoning") for one in recorded.calls("look")] == [None, "mine"]


def test_a_thinking_step_has_a_duration_and_children() -> None:
    """
    As a context manager a step is recorded at once, again when it ends, and what happens within nests under it.
    """
    with record() as recorded, forewarn.agent("a"), forewarn.reason("hm"):
        look()

    first, last = [one for one in recorded.records if one["name"] == "reason"]
    (call,) = recorded.calls("look")
    assert first["span_id"] == last["span_id"] == call["parent_span_id"]
    assert first["end_ns"] == first["start_ns"] < last["end_ns"]
    assert last["end_ns"] - last["start_ns"] > TICK_NS


async def test_reasoning_in_one_task_is_seen_from_its_sibling() -> None:
    """
    Frameworks run the model and the tools in tasks beside each other; both are the same agent.
    """

    async def think() -> None:
        forewarn.reason("because")

    async def act() -> None:
        look()

    with record() as recorded:
        async with forewarn.agent("a"):
            await asyncio.create_task(think())
            await asyncio.create_task(act())

    (call,) = recorded.calls("look")
    assert attribute(call, "forewarn.reasoning") == "because"


@pytest.mark.parametrize("reasoned_before", [False, True])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_tasks_beside_each_other_keep_their_own_reasons(reasoned_before: bool, in_thread: bool) -> None:
    """
    What one task of an agent reasons is not the reason of what its sibling does, whoever speaks last.
    """
    all_reasoned = asyncio.Barrier(3)

    async def work(number: int) -> None:
        forewarn.reason(f"why {number}")
        await all_reasoned.wait()
        if in_thread:
            await asyncio.to_thread(look, str(number))
        else:
            look(str(number))

    with record() as recorded, forewarn.agent("a"):
        if reasoned_before:
            forewarn.reason("the plan")
        await asyncio.gather(*(work(number) for number in range(3)))

    seen = {
        attribute(one, "gen_ai.tool.call.arguments"): attribute(one, "forewarn.reasoning")
        for one in recorded.calls("look")
    }
    assert seen == {f'{{"table":"{number}"}}': f"why {number}" for number in range(3)}


async def test_a_sub_agent_in_a_task_leaves_that_tasks_reason_in_place() -> None:
    """
    What a sub-agent reasoned is its own; after it, the task goes on with its reason, not with its sibling's.
    """
    both_reasoned = asyncio.Barrier(2)

    async def work(number: int) -> None:
        forewarn.reason(f"why {number}")
        with forewarn.agent("helper"):
            forewarn.reason("the helper's")
            await both_reasoned.wait()
        look(str(number))

    with record() as recorded, forewarn.agent("a"):
        await asyncio.gather(work(1), work(2))

    seen = [attribute(one, "forewarn.reasoning") for one in recorded.calls("look")]
    assert sorted(seen) == ["why 1", "why 2"]


async def test_a_newer_reason_that_came_of_ones_own_is_the_reason() -> None:
    """
    A plan made before the framework started its tasks does not hide what the model said in one of them since.
    """

    async def think(text: str) -> None:
        forewarn.reason(text)

    async def act() -> None:
        look()

    with record() as recorded, forewarn.agent("a"):
        forewarn.reason("the plan")
        for turn in range(3):
            await asyncio.create_task(think(f"turn {turn}"))
            await asyncio.create_task(act())
        look()

    seen = [attribute(one, "forewarn.reasoning") for one in recorded.calls("look")]
    assert seen == ["turn 0", "turn 1", "turn 2", "turn 2"]


def test_outside_of_any_agent_reasoning_follows_the_context() -> None:
    """
    Without an agent there is nobody to remember it for others: another thread does not see it.
    """

    def think() -> None:
        forewarn.reason("mine")
        look("here")

    with record() as recorded:
        contextvars.copy_context().run(think)
        thread = threading.Thread(target=look, args=("there",))
        thread.start()
        thread.join()

    assert [attribute(one, "forewarn.reasoning") for one in recorded.calls("look")] == ["mine", None]


async def test_agents_follow_to_thread_and_not_bare_threads() -> None:
    """
    `asyncio.to_thread` copies the context; a bare thread calls as nobody.
    """
    with record() as recorded:
        async with forewarn.agent("a"):
            await asyncio.to_thread(look, "copied")
            thread = threading.Thread(target=look, args=("bare",))
            thread.start()
            thread.join()

    assert [attribute(one, "forewarn.agent.path") for one in recorded.calls("look")] == ["a", None]


async def test_an_agent_left_in_another_context_is_left_all_the_same() -> None:
    """
    Async generators may be closed in another task; that must not raise.
    """

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        with forewarn.agent("a"):
            yield

    with record() as recorded:
        manager = running()
        await asyncio.create_task(manager.__aenter__())  # type: ignore[arg-type]
        await asyncio.create_task(manager.__aexit__(None, None, None))  # type: ignore[arg-type]

    assert [one["record"] for one in recorded.records] == ["start", "end"]


def test_long_and_odd_names_and_reasons_are_kept_within_bounds() -> None:
    """
    Lone surrogates and megabytes of text end up as valid records of bounded size.
    """
    with record() as recorded, forewarn.agent("a\ud800" * 1_000, task="t" * 100_000):
        forewarn.reason("r\ud800" * 100_000)
        look("x")

    assert all(len(str(one)) < 20_000 for one in recorded.records)
    (call,) = recorded.calls("look")
    assert attribute(call, "forewarn.reasoning").endswith("...[cut: 200000 characters]")


def test_a_credential_in_an_agents_name_is_not_on_record() -> None:
    """
    Names that are put together at run time are looked through like every other text.
    """
    with record() as recorded, forewarn.agent("worker for https://bob:correct-horse@example.com"):
        pass

    assert b"correct-horse" not in b"".join(encoded for _, encoded in recorded.spool.records)
