"""
What is recorded is what runs, and trouble with a record is not the tool's: the same for all four kinds of tools.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Literal, TypeAlias

import pytest

import forewarn
from forewarn.testing import Recorded, record

GOT: list[object] = []
Effect: TypeAlias = Literal["read", "destructive"]


def _keep(first: Any, *, last: Any = None) -> None:
    GOT.extend([first, last])
    if isinstance(first, list):
        first.clear()


def plain(first: Any, *, last: Any = "default") -> str:
    _keep(first, last=last)
    return "done"


async def coroutine(first: Any, *, last: Any = "default") -> str:
    _keep(first, last=last)
    return "done"


def generator(first: Any, *, last: Any = "default") -> Iterator[str]:
    _keep(first, last=last)
    yield "done"


async def async_generator(first: Any, *, last: Any = "default") -> AsyncIterator[str]:
    _keep(first, last=last)
    yield "done"


async def run_plain(*args: Any, effect: Effect, **kwargs: Any) -> str:
    return forewarn.tool(effect=effect, name="t")(plain)(*args, **kwargs)


async def run_coroutine(*args: Any, effect: Effect, **kwargs: Any) -> str:
    return await forewarn.tool(effect=effect, name="t")(coroutine)(*args, **kwargs)


async def run_generator(*args: Any, effect: Effect, **kwargs: Any) -> str:
    return "".join(forewarn.tool(effect=effect, name="t")(generator)(*args, **kwargs))


async def run_async_generator(*args: Any, effect: Effect, **kwargs: Any) -> str:
    return "".join([item async for item in forewarn.tool(effect=effect, name="t")(async_generator)(*args, **kwargs)])


Run: TypeAlias = Callable[..., Awaitable[str]]
KINDS = [run_plain, run_coroutine, run_generator, run_async_generator]


@pytest.fixture(autouse=True)
def nothing_got() -> None:
    GOT.clear()


def digests(recorded: Recorded) -> set[str]:
    return {one["attributes"]["forewarn.call.digest"] for one in recorded.records}


@pytest.mark.parametrize("effect", ["read", "destructive"])
@pytest.mark.parametrize("run", KINDS)
async def test_the_tool_gets_the_very_objects(run: Run, effect: Effect) -> None:
    """
    Nothing is copied or sanitised on the way, not a secret either.
    """
    first, last = {"password": "x"}, object()

    with record():
        answer = await run(first, last=last, effect=effect)

    assert answer == "done"
    assert [id(one) for one in GOT] == [id(first), id(last)]


@pytest.mark.parametrize("run", KINDS)
async def test_one_call_has_one_digest(run: Run) -> None:
    """
    Positional, by name and by default; one that differs in the default alone has another.
    """
    with record() as recorded:
        await run(1, effect="read")
        await run(first=1, effect="read")
        await run(1, last="default", effect="read")
    with record() as other:
        await run(1, last="Default", effect="read")

    assert len(digests(recorded)) == 1
    assert digests(recorded).isdisjoint(digests(other))


@pytest.mark.parametrize("run", KINDS)
async def test_what_the_tool_does_to_its_arguments_is_not_on_record(run: Run) -> None:
    """
    Both records say what the tool was called with.
    """
    with record() as recorded:
        await run([1, 2], effect="read")

    said = {one["attributes"]["gen_ai.tool.call.arguments"] for one in recorded.records}
    assert said == {'{"first":[1,2],"last":"default"}'}


@pytest.mark.parametrize("effect", ["read", "destructive"])
@pytest.mark.parametrize("run", KINDS)
async def test_a_failed_end_record_is_not_the_tools_failure(
    run: Run, effect: Effect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The agent gets its answer, so that it does not repeat what is done; the missing end is a known loss.
    """

    def fail(*_: object) -> None:
        raise ArithmeticError("ours")

    with record() as recorded:
        with monkeypatch.context() as patched:
            patched.setattr("forewarn.calls.encode_result", fail)
            answer = await run(1, effect=effect)
        await run(2, effect=effect)

    assert answer == "done"
    (loss,) = [one for one in recorded.records if one["name"] == "loss"]
    assert loss["attributes"]["forewarn.lost.reason"] == "not_built"
    assert loss["attributes"]["forewarn.lost.sequences"] == "2"
    assert loss["attributes"]["forewarn.lost.effect"] == effect


@pytest.mark.parametrize("run", KINDS)
async def test_an_answer_that_is_not_allow_runs_nothing(run: Run) -> None:
    """
    A word that nobody knows is not `allow`.
    """
    with record(forewarn.testing.refuse("allowed")), pytest.raises(forewarn.Refused):
        await run(1, effect="destructive")

    assert GOT == []


async def test_what_is_sent_and_thrown_into_an_async_generator_reaches_the_tool() -> None:
    """
    As without us: values, errors, and the end; the tool cleans up before `aclose` returns.
    """
    seen: list[object] = []

    @forewarn.tool(effect="read")
    async def echo() -> Any:
        try:
            while True:
                try:
                    seen.append((yield len(seen)))
                except LookupError as error:
                    seen.append(type(error))
        finally:
            seen.append("closed")

    with record() as recorded:
        items = echo()
        answers = [await anext(items), await items.asend("a"), await items.athrow(LookupError())]
        await items.aclose()

    assert answers == [0, 1, 2]
    assert seen == ["a", LookupError, "closed"]
    assert [one["attributes"]["forewarn.outcome"] for one in recorded.ends] == ["cancelled"]
