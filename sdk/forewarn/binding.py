"""
Binding: a call's arguments to the names of its tool's parameters, once.

What is recorded, what is digested and what the tool gets come from the same binding. So positional, keyword and default
arguments cannot make a difference, and nothing is taken apart in one place and put together otherwise in another. The
binder is compiled when the tool is declared, with the tool's own parameter list, as `dataclasses` does for `__init__`:
Python then binds at its own speed, and a wrong call gets Python's own TypeError.

What stands in a generator's place must be a generator function and yet be bound when it is called, not at its first
item. So it is compiled whole, with the tool's parameters, and hands on what Python has bound.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from inspect import Parameter
from typing import Any, Final, Protocol, TypeAlias

Bound: TypeAlias = "tuple[dict[str, object], tuple[Any, ...], dict[str, Any]]"
"""Values by name, for the record; and what the tool is called with."""
Binder: TypeAlias = Callable[..., Bound]


class Tool(Protocol):
    """What is known of a tool's parameters."""

    function: Callable[..., Any]
    signature: inspect.Signature
    receiver: str | None


_GENERATOR: Final = """
def bind({parameters}):
    return (yield from __forewarn_road__({values}, {call}))
"""
# What `yield from` does, which async generators do not have.
_ASYNC_GENERATOR: Final = """
async def bind({parameters}):
    __forewarn_road__ = __forewarn_open__({values}, {call})
    __forewarn_resume__, __forewarn_value__ = __forewarn_road__.asend, None
    while True:
        try:
            __forewarn_value__ = await __forewarn_resume__(__forewarn_value__)
        except StopAsyncIteration:
            return
        try:
            __forewarn_resume__, __forewarn_value__ = __forewarn_road__.asend, (yield __forewarn_value__)
        except GeneratorExit:
            await __forewarn_road__.aclose()
            raise
        except BaseException as __forewarn_error__:
            __forewarn_resume__, __forewarn_value__ = __forewarn_road__.athrow, __forewarn_error__
"""


def compile_binder(function: Callable[..., object], signature: inspect.Signature, receiver: str | None) -> Binder:
    """A function that takes what `function` takes and returns it bound. `receiver` (`self`) is passed on unrecorded."""
    return _compiled("def bind({parameters}):\n    return {values}, {call}\n", function, signature, receiver)


def compile_generator(tool: Tool, road: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
    """A generator function that takes what the tool takes, and goes the road with it."""
    return _compiled(_GENERATOR, tool.function, tool.signature, tool.receiver, __forewarn_road__=road)


def compile_async_generator(tool: Tool, road: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
    """The same as an async generator function."""
    return _compiled(_ASYNC_GENERATOR, tool.function, tool.signature, tool.receiver, __forewarn_open__=road)


def _compiled(
    source: str, function: Callable[..., object], signature: inspect.Signature, receiver: str | None, **known: object
) -> Callable[..., Any]:
    parameters = list(signature.parameters.values())
    source = source.format(
        parameters=_parameter_list(parameters), values=_values(parameters, receiver), call=_call(parameters)
    )
    namespace: dict[str, Any] = dict(known)
    # Only names that Python itself took for parameters are in this source.
    exec(compile(source, f"<forewarn: arguments of {function!r}>", "exec"), namespace)  # noqa: S102
    binder: Callable[..., Any] = namespace["bind"]
    binder.__defaults__ = tuple(p.default for p in parameters if _is_positional(p) and p.default is not Parameter.empty)
    binder.__kwdefaults__ = {
        p.name: p.default for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is not Parameter.empty
    }
    # Python's TypeError names the function that was called wrongly.
    binder.__name__ = getattr(function, "__name__", "tool")
    binder.__qualname__ = getattr(function, "__qualname__", binder.__name__)
    return binder


def receiver_of(function: Callable[..., object], signature: inspect.Signature) -> str | None:
    """The name of the first parameter if it is a method's own object, which is not an argument of the call."""
    scope = getattr(function, "__qualname__", "").rpartition(".")[0]
    first = next(iter(signature.parameters), None)
    is_in_class = bool(scope) and not scope.endswith("<locals>")
    return first if is_in_class and first in {"self", "cls"} else None


def _is_positional(parameter: Parameter) -> bool:
    return parameter.kind in {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}


def _parameter_list(parameters: list[Parameter]) -> str:
    parts: list[str] = []
    for index, parameter in enumerate(parameters):
        if parameter.kind is Parameter.KEYWORD_ONLY and not _after_star(parameters[:index]):
            parts.append("*")
        stars = "*" * (parameter.kind is Parameter.VAR_POSITIONAL) + "**" * (parameter.kind is Parameter.VAR_KEYWORD)
        # The value is a placeholder: the real defaults are given to the compiled function as objects.
        default = "=None" if parameter.default is not Parameter.empty else ""
        parts.append(f"{stars}{parameter.name}{default}")
        following = parameters[index + 1 : index + 2]
        if parameter.kind is Parameter.POSITIONAL_ONLY and all(p.kind is not parameter.kind for p in following):
            parts.append("/")
    return ", ".join(parts)


def _after_star(before: list[Parameter]) -> bool:
    return any(p.kind in {Parameter.VAR_POSITIONAL, Parameter.KEYWORD_ONLY} for p in before)


def _values(parameters: list[Parameter], receiver: str | None) -> str:
    # *args is a tuple by Python's rules, not by the caller's choice, so it is recorded as a plain list.
    shown = {p.name: f"[*{p.name}]" if p.kind is Parameter.VAR_POSITIONAL else p.name for p in parameters}
    return "{" + ", ".join(f"{name!r}: {value}" for name, value in shown.items() if name != receiver) + "}"


def _call(parameters: list[Parameter]) -> str:
    positional = [
        f"*{p.name}" if p.kind is Parameter.VAR_POSITIONAL else p.name
        for p in parameters
        if _is_positional(p) or p.kind is Parameter.VAR_POSITIONAL
    ]
    keyword = [
        f"**{p.name}" if p.kind is Parameter.VAR_KEYWORD else f"{p.name!r}: {p.name}"
        for p in parameters
        if p.kind in {Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD}
    ]
    return f"({''.join(f'{name}, ' for name in positional)}), {{{', '.join(keyword)}}}"
