"""
Outcomes: every way out of a call leaves an end record that says which it was.
"""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import forewarn
from forewarn.credentials import MARKED
from forewarn.testing import record


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
        (ValueError("password=hunter2 rejected"), "error", "password=<mark> rejected"),
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
    told = re.sub(MARKED, "<mark>", end["status"])
    assert (end["attributes"]["forewarn.outcome"], told) == (outcome, status)
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


class Interrupting:
    """A value in whose repr the process is told to end."""

    def __init__(self, interrupt: BaseException) -> None:
        self._interrupt = interrupt

    def __repr__(self) -> str:
        raise self._interrupt


INTERRUPTS = [KeyboardInterrupt(), SystemExit(0), asyncio.CancelledError()]


@pytest.mark.parametrize("interrupt", INTERRUPTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_interrupt_while_arguments_are_read_passes_and_is_on_record(
    interrupt: BaseException, is_async: bool
) -> None:
    """
    It may be a real Ctrl-C or SIGTERM: the tool does not run, the exception comes out, the call is on record.
    """
    ran: list[object] = []

    @forewarn.tool(effect="destructive")
    def drop(table: object) -> None:
        ran.append(table)

    @forewarn.tool(effect="destructive", name="drop")
    async def drop_async(table: object) -> None:
        ran.append(table)

    with record() as recorded, pytest.raises(type(interrupt)) as caught:
        await drop_async(Interrupting(interrupt)) if is_async else drop(Interrupting(interrupt))

    assert caught.value is interrupt
    assert ran == []
    (start,), (end,) = recorded.starts, recorded.ends
    assert "Interrupting at 0x" in start["attributes"]["gen_ai.tool.call.arguments"]
    assert end["attributes"]["forewarn.outcome"] == "cancelled"
    assert end["attributes"]["error.type"].endswith(type(interrupt).__name__)


@pytest.mark.parametrize("interrupt", INTERRUPTS, ids=lambda one: type(one).__name__)
def test_an_interrupt_while_the_result_is_read_passes_and_the_end_is_on_record(interrupt: BaseException) -> None:
    """
    The tool has run, and its end record says so, with the result's type.
    """

    @forewarn.tool(effect="read")
    def look() -> object:
        return Interrupting(interrupt)

    with record() as recorded, pytest.raises(type(interrupt)):
        look()

    (end,) = recorded.ends
    assert end["attributes"]["forewarn.outcome"] == "ok"
    assert "Interrupting at 0x" in end["attributes"]["gen_ai.tool.call.result"]


@pytest.mark.parametrize("interrupt", INTERRUPTS, ids=lambda one: type(one).__name__)
def test_an_interrupt_while_items_are_read_passes_and_the_end_is_on_record(interrupt: BaseException) -> None:
    """
    The same of a generator, whose first items are read at its end.
    """

    @forewarn.tool(effect="read")
    def stream() -> Any:
        yield Interrupting(interrupt)

    with record() as recorded, pytest.raises(type(interrupt)):
        list(stream())

    (end,) = recorded.ends
    assert end["attributes"]["forewarn.outcome"] == "ok"
    assert '"items":1' in end["attributes"]["gen_ai.tool.call.result"]


async def test_an_interrupt_before_the_tool_runs_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Also from the middle of writing the start record, and of a coroutine tool.
    """

    @forewarn.tool(effect="read")
    async def look() -> None: ...

    with record() as recorded:
        interrupts = [KeyboardInterrupt()]
        append = recorded.spool.append

        def interrupted(*frame: object) -> None:
            if interrupts:
                raise interrupts.pop()
            append(*frame)  # type: ignore[arg-type]

        monkeypatch.setattr(recorded.spool, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            await look()

    (end,) = recorded.ends
    assert end["attributes"]["forewarn.outcome"] == "cancelled"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def test_an_interrupt_while_an_error_is_read_leaves_the_end() -> None:
    """
    It passes, and the call's end is on record with the type of its error.
    """

    @forewarn.tool(effect="read")
    def fail() -> None:
        raise Unprintable

    with record() as recorded, pytest.raises(KeyboardInterrupt):
        fail()

    (end,) = recorded.ends
    assert end["status"] == "(its text cannot be read)"
    assert end["attributes"]["error.type"].endswith(".Unprintable")


def test_what_the_log_says_of_our_trouble_does_not_hold_the_tools_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A record that cannot be built is told with its own traceback, not with the unredacted error it came upon.
    """
    monkeypatch.setattr("forewarn.calls.Closing", lambda *_, **__: 1 / 0)

    @forewarn.tool(effect="read")
    def fail() -> None:
        raise ValueError("password=hunter2")

    with record(), pytest.raises(ValueError, match="hunter2"):
        fail()

    assert "ZeroDivisionError" in caplog.text
    assert "hunter2" not in caplog.text
