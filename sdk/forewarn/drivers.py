"""
Drivers: how each kind of tool is taken along the road (see `calls`). They decide nothing.

Each makes the wrapper that stands in the tool's place and is of the tool's own kind, so that `inspect` and the agent
frameworks see what they saw before. A generator tool is bound when it is called, and starts and is recorded at its
first item. Whatever the tool raises is raised on, unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeAlias

from forewarn.binding import compile_async_generator, compile_generator
from forewarn.calls import Call, Streamed, Unrecorded, opened
from forewarn.configuration import current
from forewarn.declarations import Declaration
from forewarn.recording.acknowledged import wait, wait_async

Items: TypeAlias = Generator[Any, Any, Any]


def wrapper_of(tool: Declaration) -> Callable[..., Any]:
    """The function that stands in the tool's place."""
    if inspect.isasyncgenfunction(tool.function):
        return _async_generator(tool)
    if inspect.iscoroutinefunction(tool.function):
        return _coroutine(tool)
    if inspect.isgeneratorfunction(tool.function):
        return _generator(tool)
    return _plain(tool)


def _plain(tool: Declaration) -> Callable[..., Any]:
    bind, function = tool.bind, tool.function

    def run(*args: Any, **kwargs: Any) -> Any:
        values, positional, keyword = bind(*args, **kwargs)
        runtime = current()
        call = opened(tool, values, runtime)
        try:
            if (request := call.put_on_record()) is not None:
                call.clear(wait(runtime.acknowledger, request))
            with call.span:
                result = function(*positional, **keyword)
        except BaseException as error:
            call.fail(error)
            raise
        call.finish(result)
        return result

    return run


def _coroutine(tool: Declaration) -> Callable[..., Any]:
    bind, function = tool.bind, tool.function

    async def run(*args: Any, **kwargs: Any) -> Any:
        values, positional, keyword = bind(*args, **kwargs)
        runtime = current()
        call = opened(tool, values, runtime)
        try:
            if (request := call.put_on_record()) is not None:
                call.clear(await wait_async(runtime.acknowledger, request))
            with call.span:
                result = await function(*positional, **keyword)
        except BaseException as error:
            call.fail(error)
            raise
        call.finish(result)
        return result

    return run


def _generator(tool: Declaration) -> Callable[..., Any]:
    function = tool.function

    def run(values: dict[str, object], positional: tuple[Any, ...], keyword: dict[str, Any]) -> Items:
        runtime = current()
        call = opened(tool, values, runtime)
        try:
            if (request := call.put_on_record()) is not None:
                call.clear(wait(runtime.acknowledger, request))
            result = yield from _items(function(*positional, **keyword), call)
        except BaseException as error:
            call.fail(error)
            raise
        call.finish(result)
        return result

    return compile_generator(tool, run)


def _async_generator(tool: Declaration) -> Callable[..., Any]:
    function = tool.function

    async def run(
        values: dict[str, object], positional: tuple[Any, ...], keyword: dict[str, Any]
    ) -> AsyncGenerator[Any, Any]:
        runtime = current()
        call = opened(tool, values, runtime)
        try:
            if (request := call.put_on_record()) is not None:
                call.clear(await wait_async(runtime.acknowledger, request))
            call.streamed = Streamed()
            items = function(*positional, **keyword)
            resume, value = items.asend, None
            # `yield from` with the call's span current while the tool itself runs.
            while True:
                try:
                    with call.span:
                        item = await resume(value)
                except StopAsyncIteration:
                    break
                call.streamed.add(item)
                try:
                    resume, value = items.asend, (yield item)
                except GeneratorExit:
                    with call.span:
                        await items.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  the tool's to handle
                    resume, value = items.athrow, error
        except BaseException as error:
            call.fail(error)
            raise
        call.finish(None)

    return compile_async_generator(tool, run)


def _items(items: Items, call: Call | Unrecorded) -> Items:
    """`yield from items`, with the call's span current while the tool itself runs, and not while its consumer does."""
    call.streamed = Streamed()
    resume: Callable[[Any], Any] = items.send
    value: Any = None
    while True:
        try:
            with call.span:
                item = resume(value)
        except StopIteration as stop:
            return stop.value
        call.streamed.add(item)
        try:
            resume, value = items.send, (yield item)
        except GeneratorExit:
            with call.span:
                items.close()
            raise
        except BaseException as error:  # noqa: BLE001  the tool's to handle
            resume, value = items.throw, error
