"""
A few daemon threads that run short jobs.

Not `ThreadPoolExecutor`: the interpreter joins its threads at exit, so one server that never finishes an answer would
keep the agent's process from ending. A job that hangs costs one of these threads, and nobody waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST_THREADS: Final = 16


class Workers(Generic[T]):
    """Threads are started when there is a job and none of them is idle, up to a bound; then jobs queue."""

    def __init__(self, name: str, *, most: int = MOST_THREADS) -> None:
        self._name = name
        self._most = most
        self._jobs: SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._threads = 0
        self._idle = 0
        self._is_closed = False

    def submit(self, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            self._jobs.put((future, job))
            if self._idle >= self._jobs.qsize() or self._threads >= self._most or self._is_closed:
                return future
            self._threads += 1
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        # The machine has no thread left, or the interpreter is ending: the next job may have more luck.
        except RuntimeError:
            with self._lock:
                self._threads -= 1
            future.cancel()
            raise
        return future

    def close(self) -> None:
        """Let idle threads end; those that hang are left to themselves."""
        with self._lock:
            self._is_closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            taken = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if taken is None:
                return
            future, job = taken
            if future.set_running_or_notify_cancel():
                _run(future, job)


def _run(future: Future[T], job: Callable[[], T]) -> None:
    try:
        future.set_result(job())
    # The future carries it to whoever waits.
    except BaseException as error:  # noqa: BLE001
        future.set_exception(error)
