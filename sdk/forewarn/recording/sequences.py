"""
Which numbers the records in a segment have: read back from their bytes when some of them are about to be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from forewarn.conventions import EFFECT, SEQUENCE, SERVICE_INSTANCE_ID, SERVICE_NAME, Effect
from forewarn.recording.claims import READS_SUFFIX, segments_of, sender_of
from forewarn.recording.segments import Damage, Frame, SegmentReader
from forewarn.recording.wire import resource

_WIDEST_HOLE: Final = 100_000


class Numbered(NamedTuple):
    """What a lost record was: its number (None if it has none), and the effect of its call, if it is of one."""

    sequence: int | None
    effect: Effect | None


def numbered(record: bytes) -> Numbered:
    try:
        span = Span.FromString(record)
    except DecodeError:
        return Numbered(None, None)
    sequence, effect = None, None
    for attribute in span.attributes:
        if attribute.key == SEQUENCE:
            sequence = attribute.value.int_value
        elif attribute.key == EFFECT and attribute.value.string_value in set(Effect):
            effect = Effect(attribute.value.string_value)
    return Numbered(sequence, effect)


def effect_in(path: Path) -> Effect:
    """The gravest effect that a record in this segment may have."""
    return Effect.READ if path.name.endswith(READS_SUFFIX) else Effect.UNKNOWN


def open_segment(path: Path) -> SegmentReader | None:
    """A segment whose resource was damaged is still its sender's, whose name the file has; None if it holds nothing."""
    return SegmentReader.open(
        path, stand_in=resource({SERVICE_NAME: "unknown_service", SERVICE_INSTANCE_ID: sender_of(path)})
    )


def unsent(reader: SegmentReader) -> list[Numbered]:
    """Every record of a segment that is not known to have arrived."""
    return [numbered(one.record) for one in contents(reader, reader.acknowledged) if isinstance(one, Frame)]


def hole(path: Path, damage: Damage) -> list[int]:
    """
    The numbers that damaged bytes may have held: between their neighbours', and in no segment of this sender.

    None if a neighbour is missing. One of them may have come another way; whoever received it knows better.
    """
    before, after = _neighbours(path, damage)
    if before is None or after is None or not 1 < after - before < _WIDEST_HOLE:
        return []
    known = {number for sibling in segments_of(path.parent, sender_of(path)) for number in _sequences(sibling)}
    return [number for number in range(before + 1, after) if number not in known]


def _neighbours(path: Path, damage: Damage) -> tuple[int | None, int | None]:
    before: int | None = None
    for end, number in _numbers_with_ends(path):
        if end > damage.end:
            return before, number
        before = number
    return before, None


def _sequences(path: Path) -> Iterator[int]:
    return (number for _, number in _numbers_with_ends(path))


def _numbers_with_ends(path: Path) -> Iterator[tuple[int, int]]:
    reader = open_segment(path)
    if reader is None:
        return
    with reader:
        for one in contents(reader, reader.first):
            if isinstance(one, Frame) and (number := numbered(one.record).sequence) is not None:
                yield one.end, number


def contents(reader: SegmentReader, begin: int) -> Iterator[Frame | Damage]:
    """Everything in a segment from an offset on."""
    end = reader.size()
    while begin < end and (found := reader.read(begin, end)):
        yield from found
        begin = found[-1].end
