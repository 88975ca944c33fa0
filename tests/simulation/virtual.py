"""
Time and chance of a history. Importing this module puts them in place of this process's own, before anything else reads
them: the simulation runs in processes of its own, and outside of a history the real ones answer.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

EPOCH_NS: Final = 1_800_000_000_000_000_000


@dataclass(slots=True)
class Clock:
    """A wall clock that may jump, and one that only goes forward."""

    wall_ns: int = EPOCH_NS
    monotonic_s: float = 1_000_000.0

    def advance(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """What an administrator or a time server does to a clock."""
        self.wall_ns += int(seconds * 1e9)


class Moment:
    """The history that runs in this process, as far as time and chance are concerned."""

    clock: Clock | None = None
    chance: Random | None = None

    @classmethod
    def begin(cls, clock: Clock, chance: Random) -> None:
        cls.clock, cls.chance = clock, chance
        # For whoever draws from the module's own generator.
        random.seed(chance.getrandbits(64))

    @classmethod
    def end(cls) -> None:
        cls.clock = cls.chance = None


class _Decided(Random):
    """A generator that nobody has given a seed gets one of the history's."""

    def __init__(self, seed: object = None) -> None:
        super().__init__(Moment.chance.getrandbits(64) if seed is None and Moment.chance else seed)  # type: ignore[arg-type]


def _dispatched(real: Callable[..., Any], virtual: Callable[[Clock], Any]) -> Callable[[], Any]:
    return lambda: real() if Moment.clock is None else virtual(Moment.clock)


def _sleep(seconds: float) -> None:
    if Moment.clock is None:
        _REAL_SLEEP(seconds)
    else:
        Moment.clock.advance(seconds)


def _random_bytes(size: int) -> bytes:
    return _REAL_URANDOM(size) if Moment.chance is None else Moment.chance.randbytes(size)


_REAL_SLEEP = time.sleep
_REAL_URANDOM = os.urandom
time.time_ns = _dispatched(time.time_ns, lambda clock: clock.wall_ns)
time.time = _dispatched(time.time, lambda clock: clock.wall_ns / 1e9)
time.monotonic = _dispatched(time.monotonic, lambda clock: clock.monotonic_s)
time.sleep = _sleep
os.urandom = _random_bytes
random.Random = _Decided  # type: ignore[misc]
secrets.token_hex = lambda size=32: _random_bytes(size).hex()
os.getpid = _dispatched(os.getpid, lambda _: 4711)
socket.gethostname = _dispatched(socket.gethostname, lambda _: "host")
