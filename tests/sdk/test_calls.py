"""
The road of a call: what ran is what was recorded, and every way out leaves a record.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import forewarn
from forewarn.testing import FIRST_TICK_NS, TICK_NS, record, refuse, unreachable


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


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (ValueError("no such table"), "error", "no such table"),
        (Broken(), "error", "(its text cannot be read)"),
        (StopIteration(3), "error", "3"),
        (KeyboardInterrupt(), "cancelled", ""),
        (SystemExit(1), "cancelled", "1"),
        (ValueError("password=hunter2 rejected"), "error", "password=[redacted] rejected"),
    ],
)
def test_a_tool_that_raises_leaves_its_outcome(error: BaseException, outcome: str, status: str) -> None:
    """
    The same exception object comes out, and its type and redacted text are on record.
    """

    @forewarn.tool(effect="read")
    def fail() -> None:
        raise error

    with record() as recorded, pytest.raises(type(error)) as caught:
        fail()

    (end,) = recorded.ends
    assert caught.value is error
    assert (end["attributes"]["forewarn.outcome"], end["status"]) == (outcome, status)
    assert end["attributes"]["error.type"].endswith(type(error).__name__)


async def test_a_cancelled_coroutine_leaves_its_outcome() -> None:
    """
    Cancelling a task while its tool runs is recorded as cancelled.
    """
    started = asyncio.Event()

    @forewarn.tool(effect="read")
    async def sleep_long() -> None:
        started.set()
        await asyncio.sleep(60)

    with record() as recorded:
        task = asyncio.create_task(sleep_long())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [one["attributes"]["forewarn.outcome"] for one in recorded.ends] == ["cancelled"]


def test_a_finished_generator_says_how_many_items() -> None:
    """
    A generator's record has the number of items and the first few, and its return value comes through.
    """

    @forewarn.tool(effect="read")
    def count(to: int) -> Iterator[int]:
        got = yield 0
        assert got == "sent"
        yield from range(1, to)
        return "done"

    with record() as recorded:
        running = count(9)
        assert recorded.records == []
        assert next(running) == 0
        assert len(recorded.starts) == 1
        assert running.send("sent") == 1  # type: ignore[attr-defined]
        rest = list(running)

    (end,) = recorded.ends
    assert rest == list(range(2, 9))
    assert end["attributes"]["gen_ai.tool.call.result"] == '{"items":9,"first":[0,1,2,3,4]}'
    assert end["attributes"]["forewarn.outcome"] == "ok"


def test_an_abandoned_generator_leaves_its_outcome() -> None:
    """
    A generator that is dropped halfway is recorded as cancelled, and its own clean-up ran.
    """
    cleaned = []

    @forewarn.tool(effect="read")
    def rows() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            cleaned.append(True)

    with record() as recorded:
        running = rows()
        next(running)
        del running
        gc.collect()

    (end,) = recorded.ends
    assert cleaned == [True]
    assert end["attributes"]["forewarn.outcome"] == "cancelled"
    assert end["attributes"]["gen_ai.tool.call.result"] == '{"items":1,"first":[0]}'
    assert end["status"] is None


def test_what_is_thrown_into_a_generator_reaches_the_tool() -> None:
    """
    `throw` and `close` are the tool's to handle, as without Forewarn.
    """

    @forewarn.tool(effect="read")
    def stubborn() -> Iterator[str]:
        try:
            yield "first"
        except ValueError as error:
            yield f"handled {error}"

    with record() as recorded:
        running = stubborn()
        next(running)
        handled = running.throw(ValueError("x"))  # type: ignore[attr-defined]
        running.close()  # type: ignore[attr-defined]

    assert handled == "handled x"
    assert [one["attributes"]["forewarn.outcome"] for one in recorded.ends] == ["cancelled"]


async def test_an_async_generator_finished_failed_and_abandoned() -> None:
    """
    Async generators leave ok, error and cancelled like the others.
    """

    @forewarn.tool(effect="read")
    async def pages(fail: bool = False) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        if fail:
            raise ValueError("page lost")
        yield 2

    with record() as recorded:
        assert [page async for page in pages()] == [1, 2]
        with pytest.raises(ValueError, match="page lost"):
            _ = [page async for page in pages(fail=True)]
        abandoned = pages()
        await anext(abandoned)  # type: ignore[arg-type]
        await abandoned.aclose()  # type: ignore[attr-defined]

    assert [one["attributes"]["forewarn.outcome"] for one in recorded.ends] == ["ok", "error", "cancelled"]


def test_work_that_is_handed_back_undone_is_not_observed() -> None:
    """
    A plain function that returns a coroutine or a generator has not done its work where it can be seen.
    """

    @forewarn.tool(effect="read")
    def later() -> Any:
        return (number for number in range(3))

    with record() as recorded:
        list(later())

    assert [one["attributes"]["forewarn.outcome"] for one in recorded.ends] == ["not_observed"]


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
    Read calls run on; the loss is said once, counted, and shows as a gap in the sequence.
    """
    with record() as recorded:
        recorded.spool.full = True
        look("a")
        look("b")
        recorded.spool.full = False
        look("c")

    assert caplog.text.count("could not keep a record") == 1
    assert [one["attributes"]["forewarn.sequence"] for one in recorded.records] == [5, 6]


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
