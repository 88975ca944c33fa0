"""
What waits in a spool, read without touching it: per sender for who asks how much, record by record for who asks what.

Living processes write and remove segments meanwhile; what vanishes while it is read has arrived, and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from forewarn.conventions import (
    EFFECT,
    OPERATION_NAME,
    RECORD,
    SEQUENCE,
    TOOL_NAME,
    RecordKind,
)
from forewarn.recording.claims import is_alive, segments_of, senders_in
from forewarn.recording.segments import Damage, Frame
from forewarn.recording.sequences import contents, open_segment

_SHOWN: Final = frozenset({EFFECT, OPERATION_NAME, RECORD, SEQUENCE, TOOL_NAME})


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one sender has spooled and is not known to have arrived."""

    environment: str
    sender: str
    is_alive: bool
    segments: int
    bytes: int
    records: int
    oldest_unix_nano: int | None
    damaged_bytes: int


@dataclass(frozen=True, slots=True)
class Spooled:
    """One record that waits."""

    environment: str
    sender: str
    at_unix_nano: int
    kind: str
    operation: str
    name: str
    """Of the tool, else of the span."""
    effect: str
    sequence: int | None
    trace_id: str
    span_id: str


def environments(spool: Path) -> list[Path]:
    """The folders of a spool, one for each environment."""
    return sorted(path for path in spool.iterdir() if path.is_dir()) if spool.is_dir() else []


def survey(folder: Path) -> list[Waiting]:
    """Every sender of one environment's folder."""
    return [_waiting(folder, sender) for sender in sorted(senders_in(folder))]


def inspect(folder: Path, sender: str) -> Iterator[Spooled]:
    """What waits of one sender, in the order of its segments."""
    for segment in segments_of(folder, sender):
        for one in _unsent(segment):
            if isinstance(one, Span):
                yield _described(folder, sender, one)


def _waiting(folder: Path, sender: str) -> Waiting:
    segments = segments_of(folder, sender)
    size = records = damaged = 0
    oldest: int | None = None
    for one in (found for segment in segments for found in _unsent(segment)):
        if isinstance(one, Damage):
            damaged += one.end - one.begin
            continue
        at = _at(one)
        oldest = min(oldest or at, at)
        records += 1
        size += one.ByteSize()
    return Waiting(
        _environment(folder), sender, is_alive(folder, sender), len(segments), size, records, oldest, damaged
    )


def _unsent(segment: Path) -> Iterator[Span | Damage]:
    try:
        reader = open_segment(segment)
    except FileNotFoundError:
        return
    if reader is not None:
        with reader:
            if not reader.is_sound:
                yield Damage(0, reader.first)
            at = reader.acknowledged
            for one in contents(reader, at):
                yield one if isinstance(one, Damage) else _decoded(one, at)
                at = one.end


def _decoded(frame: Frame, begin: int) -> Span | Damage:
    try:
        return Span.FromString(frame.record)
    except DecodeError:
        return Damage(begin, frame.end)


def _described(folder: Path, sender: str, span: Span) -> Spooled:
    said = {one.key: one.value for one in span.attributes if one.key in _SHOWN}
    text = {key: value.string_value for key, value in said.items()}
    return Spooled(
        environment=_environment(folder),
        sender=sender,
        at_unix_nano=_at(span),
        kind=text.get(RECORD, RecordKind.END.value),
        operation=text.get(OPERATION_NAME, ""),
        name=text.get(TOOL_NAME) or span.name,
        effect=text.get(EFFECT, ""),
        sequence=said[SEQUENCE].int_value if SEQUENCE in said else None,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
    )


def _at(span: Span) -> int:
    """When the record was made."""
    return span.end_time_unix_nano or span.start_time_unix_nano


def _environment(folder: Path) -> str:
    return unquote(folder.name)
