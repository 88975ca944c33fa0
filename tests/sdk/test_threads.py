"""
Threads: where the machine has none left for a while, and where a signal comes while one is started.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forewarn
from forewarn import configuration
from forewarn.recording.workers import MOST_THREADS
from forewarn.settings import Settings


class Exhausted:
    """No thread of Forewarn's starts while `is_so`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_so = True
        start = threading.Thread.start

        def refused(thread: threading.Thread) -> None:
            if self.is_so and thread.name.startswith("forewarn"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refused)


@forewarn.tool(effect="destructive")
def drop(number: int) -> int:
    return number


@forewarn.tool(effect="read")
def look(number: int) -> int:
    return number


def test_destructive_calls_run_again(gateway: Any, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However many calls were refused for want of a thread, the next one that has a thread is acknowledged.
    """
    exhausted = Exhausted(monkeypatch)
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    for number in range(MOST_THREADS + 1):
        with pytest.raises(forewarn.NotRecorded, match="RuntimeError"):
            drop(number)

    exhausted.is_so = False

    assert drop(99) == 99
    assert sum(post.path == "/v1/intents" for post in gateway.posts) == 1


def test_records_are_sent_again(
    gateway: Any, spool: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """
    A sender whose thread could not be started starts with a later record.
    """
    exhausted = Exhausted(monkeypatch)
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)
    look(1)

    exhausted.is_so = False
    look(2)

    eventually(lambda: len(gateway.taken) == 4)


def test_a_signal_while_the_thread_starts_starts_no_other(
    gateway: Any, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A handler that records while the sender starts finds one sender, so that nothing is sent twice.
    """
    start = threading.Thread.start
    started: list[str] = []

    def interrupted(thread: threading.Thread) -> None:
        if thread.name == "forewarn-sender":
            started.append(thread.name)
            if len(started) == 1:
                look(1)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    forewarn.configure(endpoint=gateway.url, key=gateway.KEY, spool=spool)

    look(2)

    assert started == ["forewarn-sender"]


def test_a_signal_while_the_process_is_set_up_sets_it_up_once(
    gateway: Any, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A handler that records in the middle of the first use shares the sender, the numbers and the end of it.
    """
    monkeypatch.setenv("FOREWARN_ENDPOINT", gateway.url)
    monkeypatch.setenv("FOREWARN_KEY", gateway.KEY)
    monkeypatch.setenv("FOREWARN_SPOOL", str(spool))
    describe = configuration._describe
    interrupts = [1]

    def interrupted(settings: Settings, sender_id: str) -> bytes:
        if interrupts:
            look(interrupts.pop())
        return describe(settings, sender_id)

    monkeypatch.setattr(configuration, "_describe", interrupted)

    look(2)

    assert forewarn.shutdown()
    numbers = sorted(one["attributes"]["forewarn.sequence"] for one in gateway.all_taken)
    assert numbers == [1, 2, 3, 4, 5, 6]
