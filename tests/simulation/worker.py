"""One process of the simulation: the seams are put in place once, then it lives through one history after the other."""

from __future__ import annotations

import gc
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

import urllib3
from tests.simulation import virtual
from tests.simulation.disk import Disk
from tests.simulation.fate import Killed
from tests.simulation.history import History, Outcome
from tests.simulation.mutations import MUTATIONS
from tests.simulation.network import AtOnce, Pool, RoundTrips
from tests.simulation.state import State

from forewarn.recording import acknowledged
from forewarn.recording.sender import Sender


@dataclass(slots=True)
class Tally:
    """What a run of seeds came to."""

    seeds: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, list[str]]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.counts += other.counts
        self.broken += other.broken


@cache
def _ready(mutation: str) -> tuple[State, Path]:
    """Put the seams in place, in this process, for good; break one thing where a mutation says so."""
    assert virtual.Moment.clock is None
    logging.disable(logging.CRITICAL)
    urllib3.PoolManager = Pool  # type: ignore[assignment,misc]
    acknowledged.Connections = RoundTrips  # type: ignore[assignment,misc]
    acknowledged.Workers = AtOnce  # type: ignore[assignment,misc]
    Sender.start = lambda self: None  # type: ignore[method-assign]
    Disk.install()
    sys.unraisablehook = _hear
    if mutation:
        MUTATIONS[mutation].apply()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="forewarn-simulation-", dir=memory if memory.is_dir() else None))
    # A pool's processes end without `atexit`.
    Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=1)
    state = State()
    # What has been imported stays; to look through it again and again for garbage would take a fifth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    return state, folder


def live(seed: int, *, mutation: str = "", keeps_timeline: bool = False) -> Outcome:
    """One history."""
    state, folder = _ready(mutation)
    return History(seed, state, folder / "spool", keeps_timeline=keeps_timeline).run()


def tally(seeds: range, mutation: str = "", *, stops_early: bool = False) -> Tally:
    """Many histories, one after the other."""
    began = time.perf_counter()
    total = Tally()
    for seed in seeds:
        outcome = live(seed, mutation=mutation)
        total.seeds += 1
        total.counts += outcome.counts
        if mutation:
            outcome.violations = [one for one in outcome.violations if MUTATIONS[mutation].breaks in one]
        if outcome.violations:
            total.broken.append((outcome.seed, outcome.violations))
            if stops_early:
                break
    total.seconds = time.perf_counter() - began
    return total


def _hear(unraisable: sys.UnraisableHookArgs) -> None:
    """The finalizers of a dead process may say that it is dead."""
    if not isinstance(unraisable.exc_value, Killed):
        sys.__unraisablehook__(unraisable)
