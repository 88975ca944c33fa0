"""
Drivers: how each kind of tool is taken along the road (`calls.travel`). They decide nothing.

Each makes the wrapper that stands in the tool's place and is of the tool's own kind, so that `inspect` and the agent
frameworks see what they saw before. A generator tool starts, and is bound and recorded, at its first item.

Whatever the tool raises is thrown into the road, which records it and returns; then it is raised on, unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from forewarn.calls import Acknowledge, Call, Road, Streamed, Unrecorded, travel
from forewarn.configuration import current
from forewarn.declarations import Declaration
from forewarn.recording.acknowledged import wait, wait_async
from forewarn.runtime import Runtime


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
        road = travel(tool, values, runtime)
        try:
            call = _cleared(road, runtime)
            with call.span:
                result = function(*positional, **keyword)
        except BaseException as error:
            _throw(road, error)
            raise
        _finish(road, result)
        return result

    return run


def _coroutine(tool: Declaration) -> Callable[..., Any]:
    bind, function = tool.bind, tool.function

    async def run(*args: Any, **kwargs: Any) -> Any:
        values, positional, keyword = bind(*args, **kwargs)
        runtime = current()
        road = travel(tool, values, runtime)
        try:
            call = await _cleared_async(road, runtime)
            with call.span:
                result = await function(*positional, **keyword)
        except BaseException as error:
            _throw(road, error)
            raise
        _finish(road, result)
        return result

    return run


def _generator(tool: Declaration) -> Callable[..., Any]:
    bind, function = tool.bind, tool.function

    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        values, positional, keyword = bind(*args, **kwargs)
        runtime = current()
        road = travel(tool, values, runtime)
        try:
            call = _cleared(road, runtime)
            result = yield from _items(function(*positional, **keyword), call)
        except BaseException as error:
            _throw(road, error)
            raise
        _finish(road, result)
        return result

    return run


def _async_generator(tool: Declaration) -> Callable[..., Any]:
    bind, function = tool.bind, tool.function

    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        values, positional, keyword = bind(*args, **kwargs)
        runtime = current()
        road = travel(tool, values, runtime)
        try:
            call = await _cleared_async(road, runtime)
            call.streamed = Streamed()
            items = function(*positional, **keyword)
            resume, value = items.asend, None
            # What `yield from` does, which async generators do not have.
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
            _throw(road, error)
            raise
        _finish(road, None)

    return run


def _items(items: Generator[Any, Any, Any], call: Call | Unrecorded) -> Generator[Any, Any, Any]:
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


def _cleared(road: Road, runtime: Runtime) -> Call | Unrecorded:
    """The call when it may run. Raises Refusal if it may not."""
    step = next(road)
    if isinstance(step, Acknowledge):
        step = road.send(wait(runtime.acknowledger, step.request))
    assert not isinstance(step, Acknowledge), "the road asks once"
    return step


async def _cleared_async(road: Road, runtime: Runtime) -> Call | Unrecorded:
    step = next(road)
    if isinstance(step, Acknowledge):
        step = road.send(await wait_async(runtime.acknowledger, step.request))
    assert not isinstance(step, Acknowledge), "the road asks once"
    return step


def _finish(road: Road, result: object) -> None:
    try:
        road.send(result)
    except StopIteration:
        return


def _throw(road: Road, error: BaseException) -> None:
    """Let the road record how the call ended; a road that ended before the tool ran has already."""
    if inspect.getgeneratorstate(road) is inspect.GEN_CLOSED:
        return
    try:
        road.throw(error)
    except StopIteration:
        return
    except BaseException as raised:
        # The caller raises its error on itself.
        if raised is not error:
            raise
