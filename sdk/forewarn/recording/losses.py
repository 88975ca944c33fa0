"""
Losses: which of this sender's records nobody will ever read, and why; a record of their own tells it.

A gap in the numbers says that something is missing. A loss record in it says that this is known, so that a gap without
one is worth a look. Noting a loss may happen anywhere: in a signal handler, in a finalizer, in the middle of writing
another record. So a note is one atomic append, and whoever finds the turn free sorts it in; nobody ever waits.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from forewarn.conventions import (
    LOST_COUNT,
    LOST_EFFECT,
    LOST_REASON,
    LOST_SEQUENCES,
    OPERATION_LOSS,
    OPERATION_NAME,
    Effect,
    LossReason,
)
from forewarn.recording.interface import Attributes

MOST_RANGES: Final = 32_768
"""How many ranges of numbers are remembered. What lies beyond is counted, and stays an unexplained gap."""
RANGES_AT_ONCE: Final = 500
"""How many of them one loss record names: reads and writes that take turns make many, of one or two numbers each."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Numbers that are lost for one reason, all of records of calls with one effect (`read` if of no call)."""

    reason: LossReason
    effect: Effect
    sequences: str
    count: int

    @property
    def attributes(self) -> Attributes:
        """What the record of it says, whoever writes it."""
        return {
            OPERATION_NAME: OPERATION_LOSS,
            LOST_SEQUENCES: self.sequences,
            LOST_COUNT: self.count,
            LOST_REASON: self.reason.value,
            LOST_EFFECT: self.effect.value,
        }

    @property
    def message(self) -> str:
        return f"{self.count} records of this sender are lost: {self.reason}"


Lost: TypeAlias = Callable[[LossReason, Iterable[int], Effect], None]
"""How whoever loses records says so: why, their numbers, and the gravest effect among their calls."""


class Ranges:
    """Whole numbers as ranges: `17-40,52`."""

    def __init__(self, most: int = MOST_RANGES) -> None:
        self.count = 0
        self._most = most
        self._lows: list[int] = []
        self._highs: list[int] = []

    def add(self, number: int) -> None:
        at = bisect_right(self._lows, number)
        if at and number <= self._highs[at - 1]:
            return
        self.count += 1
        joins_below = at > 0 and self._highs[at - 1] == number - 1
        joins_above = at < len(self._lows) and self._lows[at] == number + 1
        if joins_below and joins_above:
            self._highs[at - 1] = self._highs.pop(at)
            del self._lows[at]
        elif joins_below:
            self._highs[at - 1] = number
        elif joins_above:
            self._lows[at] = number
        elif len(self._lows) < self._most:
            self._lows.insert(at, number)
            self._highs.insert(at, number)

    def first(self) -> tuple[str, int]:
        """As many ranges as one loss record names, and how many numbers it is about; the last also counts the rest."""
        pairs = list(zip(self._lows[:RANGES_AT_ONCE], self._highs, strict=False))
        text = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in pairs)
        is_last = len(self._lows) <= RANGES_AT_ONCE
        return text, self.count if is_last else sum(high - low + 1 for low, high in pairs)

    def drop_first(self) -> None:
        """Forget what `first` says; it is on record."""
        self.count -= self.first()[1]
        del self._lows[:RANGES_AT_ONCE], self._highs[:RANGES_AT_ONCE]


class Losses:
    """The ledger of one sender. Any thread may call any method at any moment; none raises or waits."""

    def __init__(self, write: Callable[[Loss], None]) -> None:
        """`write` puts a loss on record, or raises what is in the way."""
        self._write = write
        self._turn = threading.Lock()
        self._noted: deque[tuple[LossReason, Effect, tuple[int, ...]]] = deque()
        self._sorted: dict[tuple[LossReason, Effect], Ranges] = {}
        self.are_untold = False
        """Whether there may be something that no loss record says yet."""

    def note(self, reason: LossReason, sequences: Iterable[int], effect: Effect) -> None:
        """These records will never come."""
        self._noted.append((reason, effect, tuple(sequences)))
        self.are_untold = True
        if self._turn.acquire(blocking=False):
            try:
                self._sort()
            finally:
                self._turn.release()

    def tell(self) -> None:
        """Put what was noted on record, as far as the spool takes it. Inside of itself it does nothing."""
        if not self._turn.acquire(blocking=False):
            return
        # First, so that what is noted from here on sets it again.
        self.are_untold = False
        # Mostly the spool does not take it. It is tried again with the next record; it is never the tool's trouble.
        try:
            with suppress(Exception):
                self._sort()
                for (reason, effect), ranges in list(self._sorted.items()):
                    while ranges.count:
                        self._write(Loss(reason, effect, *ranges.first()))
                        ranges.drop_first()
                    del self._sorted[reason, effect]
        finally:
            # An interrupt passes, and what it kept from being told stays so.
            if self._sorted or self._noted:
                self.are_untold = True
            self._turn.release()

    def _sort(self) -> None:
        while self._noted:
            reason, effect, sequences = self._noted.popleft()
            ranges = self._sorted.setdefault((reason, effect), Ranges())
            for number in sequences:
                ranges.add(number)
