"""
`@forewarn.tool`: every call of the decorated function goes on record before it runs.

Works on functions, methods, class and static methods, coroutines, generators and async generators. The wrapper keeps
name, signature and kind, so agent frameworks see the tool they saw before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar, overload

from forewarn.declarations import Declaration
from forewarn.drivers import wrapper_of
from forewarn.paths import Paths

P = ParamSpec("P")
R = TypeVar("R")

DeclaredEffect: TypeAlias = Literal["read", "write", "destructive", "unknown"]
DECLARATION: Final = "__forewarn_tool__"
"""Where a wrapper keeps its `Declaration`; also how one is recognised."""


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def tool(
    *,
    effect: DeclaredEffect | None = None,
    name: str | None = None,
    redact: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effect: DeclaredEffect | None = None,
    name: str | None = None,
    redact: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> Callable[..., Any]:
    """
    Put every call of this function on record before it runs.

    `effect` says what a call may do to the world: `read`, `write` or `destructive`. A `destructive` call, and one whose
    effect is not declared, starts only when the gateway has acknowledged its record; in production it raises
    `NotRecorded` otherwise. `name` is the tool's name on record, by default the function's. A method's own object is
    not recorded, and an argument under a secret's name (`password`, `api_key`) is redacted.

    `redact` and `keep` name what is redacted besides, and what never is: `payload.auth`, `rows.*.email`, and of what
    the tool returns `return.token_count`.
    """
    paths = Paths(redact, keep)
    if function is None:
        return functools.partial(_wrap, effect=effect, name=name, paths=paths)
    wrapped: Callable[..., Any] = _wrap(function, effect=effect, name=name, paths=paths)
    return wrapped


def _wrap(function: Any, *, effect: str | None, name: str | None, paths: Paths) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        kind = type(function)
        declared = function.__func__
        is_classmethod = kind is classmethod
        return kind(_wrapped(declared, Declaration(declared, effect, name, paths=paths, is_classmethod=is_classmethod)))
    return _wrapped(function, Declaration(function, effect, name, paths=paths))


def _wrapped(function: Callable[..., Any], declaration: Declaration) -> Callable[..., Any]:
    wrapper: Callable[..., Any] = functools.wraps(function)(wrapper_of(declaration))
    setattr(wrapper, DECLARATION, declaration)
    return wrapper
