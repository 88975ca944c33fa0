"""
Cuts a large request, between two spans, into requests that say the same together.

Protobuf holds the interpreter lock for as long as it reads a request: what is read in pieces holds up nobody. Each
piece repeats what stands beside its spans, their resource and scope.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from forewarn.recording.wire import varint
from forewarn_collector.wire import field_at

PIECE_BYTES: Final = 256 << 10
"""About half a millisecond to read."""
_BESIDE: Final = 4
"""A piece is at least this many times as large as what it repeats: else a large resource would be copied for ever."""
_TAGS: Final = (0x0A, 0x12, 0x12)
"""ExportTraceServiceRequest.resource_spans, ResourceSpans.scope_spans, ScopeSpans.spans."""


class _Run(NamedTuple):
    """Fields of one tag side by side; `content` is where that of a single large one begins, else -1."""

    start: int
    stop: int
    content: int


def pieces(request: bytes) -> Iterator[bytes]:
    """The very request where it is small. Raises `DecodeError` for bytes that are none."""
    if len(request) <= PIECE_BYTES:
        yield request
        return
    try:
        for parts in _cut(request, 0, len(request), most=PIECE_BYTES):
            yield b"".join(parts)
    except IndexError as error:
        raise DecodeError("it ends too early") from error


def _cut(data: bytes, at: int, end: int, *, most: int, depth: int = 0) -> Iterator[list[bytes | memoryview]]:
    """One message's content in pieces, each of which is content for such a message; copied once, where it is joined."""
    tag = _TAGS[depth]
    beside, runs = _runs(data, at, end, tag=tag, most=most)
    if _BESIDE * len(beside) > most:
        most = _BESIDE * len(beside)
        beside, runs = _runs(data, at, end, tag=tag, most=most)
    for run in runs or [_Run(end, end, -1)]:
        if run.content < 0 or depth + 1 == len(_TAGS):
            yield [beside, memoryview(data)[run.start : run.stop]]
            continue
        for inner in _cut(data, run.content, run.stop, most=most, depth=depth + 1):
            yield [beside, bytes([tag]), varint(sum(map(len, inner))), *inner]


def _runs(data: bytes, at: int, end: int, *, tag: int, most: int) -> tuple[bytes, list[_Run]]:
    """All fields but those of the tag; and those, up to `most` bytes of them together."""
    beside: list[bytes] = []
    runs: list[_Run] = []
    while at < end:
        start, at = at, _behind_row(data, at, end, tag=tag, most=most)
        if at > start:
            runs.append(_Run(start, at, -1))
            continue
        found, content, at = field_at(data, start)
        if at > end:
            raise DecodeError("a field ends behind its message")
        if found == tag:
            runs.append(_Run(start, at, content))
        else:
            beside.append(data[start:at])
    return b"".join(beside), runs


def _behind_row(data: bytes, at: int, end: int, *, tag: int, most: int) -> int:
    """Behind the fields of this tag that stand here, `most` bytes of them; where none does, here."""
    last = min(end, at + most)
    while at < end and data[at] == tag:
        low = data[at + 1]
        # Written out for lengths of one and two bytes: this is done for every span.
        if low <= 0x7F:
            stop = at + 2 + low
        elif (high := data[at + 2]) <= 0x7F:
            stop = at + 3 + (low & 0x7F | high << 7)
        else:
            stop = field_at(data, at)[2]
        if stop > last:
            break
        at = stop
    return at
