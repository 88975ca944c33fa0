"""Ranges of record numbers: what senders and the sink write as `17-40,52`, read back and laid over one another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

Why = TypeVar("Why")
_DIGITS = 20
"""Of the largest number that a record can have, 2**64 - 1."""


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends included; never empty."""

    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Explained(Generic[Why]):
    """A range, and what is said of all of it."""

    range: Range
    why: Why


def read_ranges(text: str) -> list[Range]:
    """What can be read of `17-40,52`; senders wrote it, so that a part that is no range is left out."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if _is_number(first) and (_is_number(last) if dash else not last) and int(first) <= int(last or first):
            found.append(Range(int(first), int(last or first)))
    return found


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS


def ranges_text(numbers: Iterable[int]) -> str:
    """The numbers, in any order, as `17-40,52`."""
    runs: list[Range] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1].last == number - 1:
            runs[-1] = replace(runs[-1], last=number)
        else:
            runs.append(Range(number, number))
    return ",".join(str(run.first) if run.count == 1 else f"{run.first}-{run.last}" for run in runs)


def without_overlap(explained: Iterable[Explained[Why]]) -> list[Explained[Why]]:
    """In order, each number once: where two speak of one number, the range that begins earlier does."""
    disjoint: list[Explained[Why]] = []
    free = 0
    for each in sorted(explained, key=lambda one: one.range.first):
        if each.range.last >= free:
            disjoint.append(replace(each, range=Range(max(free, each.range.first), each.range.last)))
            free = each.range.last + 1
    return disjoint


def explain(missing: Range, known: Sequence[Explained[Why]]) -> Iterator[tuple[Range, Why | None]]:
    """Cut a range where what is known of it changes. `known`: in order, without overlap; None: nothing is."""
    at = missing.first
    begin = bisect_left(known, at, key=lambda one: one.range.last)
    for index in range(begin, len(known)):
        each = known[index]
        if each.range.first > missing.last:
            break
        if each.range.first > at:
            yield Range(at, each.range.first - 1), None
            at = each.range.first
        end = min(each.range.last, missing.last)
        yield Range(at, end), each.why
        at = end + 1
    if at <= missing.last:
        yield Range(at, missing.last), None
