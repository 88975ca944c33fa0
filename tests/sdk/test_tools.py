"""
The decorator: whatever kind of tool it is given, it gives back one of the same kind, name and signature.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import forewarn
from forewarn.testing import record


def plain(a: int, b: str = "x") -> str:
    """Doc."""
    return f"{a}{b}"


async def coroutine(a: int) -> int:
    return a


def generator(a: int) -> Iterator[int]:
    yield a


async def async_generator(a: int) -> AsyncIterator[int]:
    yield a


@pytest.mark.parametrize("function", [plain, coroutine, generator, async_generator])
def test_the_kind_stays(function: Callable[..., Any]) -> None:
    """
    Everything `inspect` and frameworks ask about a tool has the same answer as before.
    """
    wrapped = forewarn.tool(effect="read")(function)

    for question in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.signature,
        typing.get_type_hints,
        lambda f: (f.__name__, f.__qualname__, f.__doc__, f.__module__),
    ):
        assert question(wrapped) == question(function)  # type: ignore[operator]


class Desk:
    """A tool box."""

    drawer = "top"

    def __repr__(self) -> str:
        raise AssertionError("a method's own object is not an argument")

    @forewarn.tool(effect="read")
    def method(self, a: int) -> tuple[Any, int]:
        return self, a

    @forewarn.tool(effect="read")
    @classmethod
    def class_inside(cls, a: int) -> tuple[Any, int]:
        return cls, a

    @classmethod
    @forewarn.tool(effect="read")
    def class_outside(cls, a: int) -> tuple[Any, int]:
        return cls, a

    @forewarn.tool(effect="read")
    @staticmethod
    def static_inside(a: int) -> tuple[Any, int]:
        return None, a

    @staticmethod
    @forewarn.tool(effect="read")
    def static_outside(a: int) -> tuple[Any, int]:
        return None, a

    @forewarn.tool(effect="read")
    async def coroutine(self, a: int) -> tuple[Any, int]:
        return self, a


async def test_methods_of_every_kind() -> None:
    """
    Receiver and arguments arrive as without the decorator; only the arguments are recorded.
    """
    desk = Desk()
    with record() as recorded:
        assert desk.method(1) == (desk, 1)
        assert Desk.method(desk, a=1) == (desk, 1)
        assert desk.class_inside(1) == Desk.class_outside(1) == (Desk, 1)
        assert desk.static_inside(1) == Desk.static_outside(1) == (None, 1)
        assert await desk.coroutine(1) == (desk, 1)

    assert {one["attributes"]["gen_ai.tool.call.arguments"] for one in recorded.starts} == {'{"a":1}'}
    assert len(recorded.starts) == 7


def test_an_ordinary_function_may_call_its_parameter_self() -> None:
    """
    Only a function defined in a class has a receiver.
    """

    @forewarn.tool(effect="read")
    def function(self: int) -> int:
        return self

    with record() as recorded:
        function(3)

    assert recorded.starts[0]["attributes"]["gen_ai.tool.call.arguments"] == '{"self":3}'


def every_kind_of_parameter(a: int, /, b: int, c: int = 3, *d: int, e: int, f: int = 6, **g: int) -> list[Any]:
    return [a, b, c, d, e, f, g]


def bare_star(a: int, *, b: int = 2) -> list[Any]:
    return [a, b]


def only_positional(a: int, b: int = 2, /) -> list[Any]:
    return [a, b]


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (every_kind_of_parameter, (1, 2), {"e": 5}),
        (every_kind_of_parameter, (1, 2, 30, 4, 4), {"e": 5, "f": 60, "a": 7, "z": 8}),
        (bare_star, (1,), {"b": 3}),
        (bare_star, (), {"a": 1}),
        (only_positional, (1,), {}),
        (only_positional, (1, 3), {}),
    ],
    ids=["fewest", "most", "bare star", "by name", "positional only, default", "positional only"],
)
def test_binding_is_pythons(function: Callable[..., Any], args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """
    Every kind of parameter gets what it gets without the decorator, and is recorded as `inspect` binds it.
    """
    import json

    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    with record() as recorded:
        result = forewarn.tool(effect="read")(function)(*args, **kwargs)

    assert result == function(*args, **kwargs)
    recorded_arguments = json.loads(recorded.starts[0]["attributes"]["gen_ai.tool.call.arguments"])
    assert recorded_arguments == json.loads(json.dumps(bound.arguments))


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1,), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"a": 1})]
)
def test_wrong_calls_fail_as_without_us(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    """
    The TypeError has the same text.
    """

    def function(a: int, *, b: int) -> None: ...

    with pytest.raises(TypeError) as ours:
        forewarn.tool(effect="read")(function)(*args, **kwargs)
    with pytest.raises(TypeError) as pythons:
        function(*args, **kwargs)

    assert str(ours.value) == str(pythons.value)


def test_wrong_calls_of_generators_fail_at_the_call() -> None:
    """
    As without us, not at the first item; and a right call is not on record before that.
    """

    def rows(a: int, *, b: int) -> Iterator[int]:
        yield a + b

    async def rows_async(a: int, *, b: int) -> AsyncIterator[int]:
        yield a + b

    with record() as recorded:
        for function in (rows, rows_async):
            with pytest.raises(TypeError, match=r"missing 1 required keyword-only argument: 'b'$"):
                forewarn.tool(effect="read")(function)(1)  # type: ignore[call-arg]
        waiting = forewarn.tool(effect="read")(rows)(1, b=2)
        assert recorded.records == []
        assert list(waiting) == [3]

    assert [one["attributes"]["gen_ai.tool.call.arguments"] for one in recorded.starts] == ['{"a":1,"b":2}']


def test_a_mutable_default_is_the_functions_own() -> None:
    """
    The tool gets its very default object, as Python has it.
    """
    shared: list[int] = []

    @forewarn.tool(effect="read")
    def add(to: list[int] = shared) -> list[int]:
        to.append(1)
        return to

    with record() as recorded:
        assert add() is add() is shared

    assert [one["attributes"]["gen_ai.tool.call.arguments"] for one in recorded.starts] == ['{"to":[]}', '{"to":[1]}']


def test_an_unknown_effect_is_refused_when_declared() -> None:
    """
    A misspelt effect is found at import, and the text says what there is.
    """
    with pytest.raises(forewarn.ConfigurationError, match="'delete'; it must be one of read, write, destr"):
        forewarn.tool(effect="delete")(plain)  # type: ignore[call-overload]


def test_a_callable_without_signature_is_refused_when_declared() -> None:
    """
    What cannot be bound cannot be recorded as it runs.
    """
    with pytest.raises(forewarn.ConfigurationError, match="Wrap it in a function"):
        forewarn.tool(effect="read")(max)  # type: ignore[type-var]


def test_a_tool_can_have_another_name() -> None:
    """
    The name on record is the one that was given, else the function's.
    """
    with record() as recorded:
        forewarn.tool(effect="read", name="database.look")(plain)(1)
        forewarn.tool(effect="read")(plain)(1)

    assert [one["name"] for one in recorded.starts] == ["execute_tool database.look", "execute_tool plain"]


def test_the_public_names() -> None:
    """
    This is what users rely on.
    """
    assert forewarn.__all__ == sorted(forewarn.__all__)
    assert forewarn.__all__ == [
        "ConfigurationError",
        "ForewarnError",
        "NotRecorded",
        "Refusal",
        "Refused",
        "agent",
        "configure",
        "flush",
        "reason",
        "shutdown",
        "tool",
    ]
    assert all(hasattr(forewarn, name) for name in forewarn.__all__)
