"""
Fate: the one source of chance of a history, what goes wrong in it, and who dies where.

Everything that a process does to the world goes through a seam, and every seam names its points (`fate.point`). A step
of a process may be doomed: then it dies at one of the points on its way. From then on its seams let nothing through, so
that whatever the dead process's own `except` and `finally` still attempt has no effect, as if it had never run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Final

from tests.simulation.virtual import EPOCH_NS, Clock, Moment

FAULTS: Final[Mapping[str, float]] = {
    "agent dies": 0.12,
    "gateway dies": 0.06,
    "sink dies": 0.30,
    "watcher dies": 0.30,
    "deliverer dies": 0.30,
    "machine dies": 0.30,
    "power of a host fails": 0.10,
    "segment is damaged": 0.10,
    "disk is full": 0.06,
    "disk fails": 0.04,
    "request is lost": 0.06,
    "answer is lost": 0.08,
    "request comes again later": 0.06,
    "sender hangs up": 0.03,
    "answer is slow": 0.05,
    "portal answers": 0.02,
    "balancer answers 503": 0.03,
    "body is never taken": 0.03,
    "log is away": 0.05,
    "log is silent": 0.04,
    "log is full": 0.03,
    "store is away": 0.10,
    "store does a part": 0.05,
    "record is poison": 0.3,
    "record is unstorable": 0.03,
    "state is away": 0.02,
    "target is away": 0.15,
    "target rejects": 0.02,
    "target asks for time": 0.06,
    "target answers nobody": 0.06,
    "clock jumps": 0.3,
    "tool fails": 0.15,
}
"""What can go wrong, and how often where a history has it at all."""


class Killed(BaseException):
    """The process that runs is gone: nothing in it can catch that and go on."""


class Process:
    """Whatever can die by itself."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.is_dead = False
        self.descriptors: set[int] = set()
        self.steps_to_live: int | None = None


class Fate:
    """Draws every lot of one history, counts what happened, and keeps its timeline where somebody wants to read it."""

    def __init__(self, seed: int, *, keeps_timeline: bool = False) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.counts: Counter[str] = Counter()
        self.timeline: list[str] = []
        self.process: Process | None = None
        self.is_calm = False
        self._keeps_timeline = keeps_timeline
        strength = self.random.choice((0.0, 1.0, 1.0, 2.0, 3.0))
        some = self.random.choice((0.2, 0.5, 0.9))
        self._rates = {fault: rate * strength for fault, rate in FAULTS.items() if self.random.random() < some}
        Moment.begin(self.clock, self.random)

    def may(self, fault: str) -> bool:
        """Whether this history has this fault at all."""
        return fault in self._rates

    def strikes(self, fault: str) -> bool:
        rate = self._rates.get(fault)
        if rate is None or self.is_calm or self.random.random() >= rate:
            return False
        self.counts[fault] += 1
        self.tell(f"! {fault}")
        return True

    def doom(self, process: Process) -> None:
        """Perhaps the step that this process is about to make is its last."""
        if not self.is_calm and self.random.random() < self._rates.get(f"{process.kind} dies", 0.0):
            process.steps_to_live = self.random.choice((0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 13, 17, 23))

    def point(self, where: str, last_act: Callable[[], object] | None = None) -> None:
        """A place where the running process may die; `last_act` is what may still be half done then."""
        process = self.process
        if process is None:
            return
        if process.is_dead:
            raise Killed(process.name)
        if process.steps_to_live is None:
            return
        process.steps_to_live -= 1
        if process.steps_to_live < 0:
            if last_act is not None and self.random.random() < 0.5:
                last_act()
            process.is_dead = True
            self.counts[f"{process.kind} died"] += 1
            self.counts[f"{process.kind} died: {where}"] += 1
            self.tell(f"† {process.name} dies: {where}")
            raise Killed(process.name)

    @contextmanager
    def running(self, process: Process) -> Iterator[None]:
        """Within, it is this process that acts."""
        before, self.process = self.process, process
        try:
            yield
        finally:
            self.process = before

    def tell(self, what: str) -> None:
        if self._keeps_timeline:
            who = self.process.name if self.process else ""
            since_s = (self.clock.wall_ns - EPOCH_NS) / 1e9
            self.timeline.append(f"{since_s:12.3f}  {who:12}  {what}")
