"""An event loop on virtual time: nothing ever waits, and what would run in a thread runs at once."""

from __future__ import annotations

import asyncio
import time
from asyncio import base_events, events
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Nothing:
    """A selector without sockets: to wait is to let the clock go on."""

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits for everything: this history would never end")
        if timeout > 0:
            time.sleep(timeout)
        return []


class VirtualLoop(base_events.BaseEventLoop):
    """`asyncio` without a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Nothing()

    def time(self) -> float:
        return time.monotonic()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        # A thread's future carries whatever ended its job.
        except Exception as error:  # noqa: BLE001
            done.set_exception(error)
        return done

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also from within another loop: a thread of the process would have done it."""
    outer = events._get_running_loop()
    events._set_running_loop(None)
    loop = _SPARE.pop() if _SPARE else VirtualLoop()
    try:
        done = loop.run_until_complete(work)
    # Whoever died in it left it in pieces.
    except BaseException:
        loop.close()
        raise
    else:
        _SPARE.append(loop)
        return done
    finally:
        events._set_running_loop(outer)


_SPARE: list[VirtualLoop] = []
