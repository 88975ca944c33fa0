"""
The sides of the log that the contract suite runs on, and what its tests do with them.

A further side is one more entry in `SIDES`. What a side cannot do on demand (age by a clock, be bounded, live on in
another process) it says in its `Side`, and the tests that need it are skipped there by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from forewarn_collector.log.interface import Consumer, Log, Record
from forewarn_collector.log.memory import MemoryLog
from forewarn_collector.log.sqlite import SqliteLog

DEADLINE_S = 20.0


class Clock:
    """A wall clock that goes where it is told."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, by: timedelta) -> None:
        self.now_ns += int(by.total_seconds() * 1e9)


@dataclass
class Side:
    """One side of the log under test."""

    open: Callable[..., Log]
    """Opens the log; a second call opens the same one again, after `crash` or `close`."""
    crash: Callable[[], None]
    """Leaves everything as a crash of the process would."""
    clock: Clock | None
    """The clock that decides a record's age; None where age is not ours to decide."""
    opened_elsewhere: str | None
    """Python that opens the same log as `log` in another process; None where it cannot live on."""
    bounded: bool = True
    logs: list[Log] = field(default_factory=list)

    def log(self, **bounds: Any) -> Log:
        self.logs.append(self.open(**bounds))
        return self.logs[-1]


def _memory(partitions: int) -> Callable[[Path], Side]:
    def side(_: Path) -> Side:
        clock = Clock()
        kept: list[MemoryLog] = []

        def open_log(**bounds: Any) -> Log:
            # Nothing of it survives its process; what a consumer left half done is replayed like anywhere else.
            if not kept:
                kept.append(MemoryLog(partitions=partitions, clock_ns=clock, **bounds))
            return kept[0]

        return Side(open_log, crash=lambda: None, clock=clock, opened_elsewhere=None)

    return side


def _sqlite(folder: Path) -> Side:
    clock = Clock()
    path = [folder / "log.sqlite3"]

    def crash() -> None:
        """Go on with a copy of the files as they are this moment: nothing was closed or moved."""
        crashed = path[0].parent / "crashed"
        crashed.mkdir()
        for file in path[0].parent.glob("log.sqlite3*"):
            if not file.name.endswith("-shm"):
                (crashed / file.name).write_bytes(file.read_bytes())
        path[0] = crashed / "log.sqlite3"

    elsewhere = f"""
from pathlib import Path
from forewarn_collector.log.sqlite import SqliteLog
log = SqliteLog(Path({str(path[0])!r}))
"""
    return Side(
        lambda **bounds: SqliteLog(path[0], clock_ns=clock, **bounds),
        crash=crash,
        clock=clock,
        opened_elsewhere=elsewhere,
    )


SIDES: dict[str, Callable[[Path], Side]] = {
    "memory": _memory(1),
    "memory-4-partitions": _memory(4),
    "sqlite": _sqlite,
}


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    made = SIDES[request.param](tmp_path)
    yield made
    for log in made.logs:
        log.close()


@pytest.fixture
def log(side: Side) -> Log:
    return side.log()


@pytest.fixture
def drain() -> Callable[..., list[Record]]:
    """Polls until so many records have come, or too long."""

    def drained(consumer: Consumer, expected: int, **limits: Any) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(records) < expected and time.monotonic() < deadline:
            records += consumer.poll(timeout_s=0.5, **limits)
        return records

    return drained


@pytest.fixture
def read_all() -> Callable[[Log, str, list[str]], list[Record]]:
    """Everything there is for a group, up to the ends as they are now."""

    def read(log: Log, group: str, topics: list[str]) -> list[Record]:
        consumer = log.consumer(group, topics)
        records: list[Record] = []
        while batch := consumer.poll(timeout_s=0.1):
            records += batch
        consumer.close()
        return records

    return read


@pytest.fixture
def fill() -> Callable[..., None]:
    """Appends values under one key and waits until all are durable."""

    def filled(log: Log, *values: bytes, topic: str = "bulk", key: bytes = b"k") -> None:
        for done in [log.append(topic, value, key=key) for value in values]:
            done.result(DEADLINE_S)

    return filled
