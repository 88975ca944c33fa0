"""
Segment files: what the spool's bytes mean, and how they are read back after whatever happened.

    header   magic (8) | acknowledged offset (8) | length of the resource (4) | its CRC-32 (4) | OTLP Resource
    frame    magic (4) | length (4) | CRC-32 over kind and record (4) | kind (1) | OTLP Span

All numbers are little-endian. Frames are only ever appended, each by one `write`. The acknowledged offset is the one
thing that is written in place: everything before it has arrived at the gateway. It may lag behind the truth (then
records are sent again, and the store counts them once); it is never ahead of it.

A process can die in the middle of a write, and a disk can return something else than it was given. So a reader believes
a frame only if its checksum holds; where one does not, it searches for the next frame magic and goes on from there.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, Self

from forewarn.recording.interface import FrameKind

SEGMENT_MAGIC: Final = b"FWSEG\x00\x00\x01"
FRAME_MAGIC: Final = b"\xf7FW\x01"
_HEADER: Final = struct.Struct("<8sQII")
_OFFSET: Final = struct.Struct("<Q")
_FRAME: Final = struct.Struct("<4sIIB")
_SEEDS: Final = {kind: zlib.crc32(bytes([kind])) for kind in FrameKind}
_KINDS: Final = frozenset(int(kind) for kind in FrameKind)
LARGEST_RECORD: Final = 4 << 20
"""A length beyond it is damage, not a record."""
_READ_SIZE: Final = 1 << 20


class Frame(NamedTuple):
    """One spooled record and the offset right behind it."""

    kind: FrameKind
    record: bytes
    end: int


class Damage(NamedTuple):
    """Bytes that are no frame, from where to where. At the end of a segment: a write the process did not survive."""

    begin: int
    end: int


def encode_header(resource: bytes) -> bytes:
    start = _HEADER.size + len(resource)
    return _HEADER.pack(SEGMENT_MAGIC, start, len(resource), zlib.crc32(resource)) + resource


def encode_frame(kind: FrameKind, record: bytes) -> bytes:
    return _FRAME.pack(FRAME_MAGIC, len(record), zlib.crc32(record, _SEEDS[kind]), kind) + record


@dataclass(slots=True)
class SegmentReader:
    """One segment, open for reading and for moving its acknowledged offset."""

    path: Path
    descriptor: int
    resource: bytes
    first: int
    """Where the first frame begins."""
    acknowledged: int
    is_sound: bool = True
    """Whether the header is what was written; else resource and offset are stand-ins."""

    @classmethod
    def open(cls, path: Path, *, stand_in: bytes = b"") -> SegmentReader | None:
        """
        None if the file is not a segment, or its header was never completed: then it holds no frame either.

        `stand_in` takes the place of a resource that was damaged, if there is a frame behind it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        header = os.pread(descriptor, _HEADER.size, 0)
        if len(header) == _HEADER.size:
            magic, acknowledged, length, checksum = _HEADER.unpack(header)
            resource = os.pread(descriptor, min(length, LARGEST_RECORD), _HEADER.size)
            if magic == SEGMENT_MAGIC and len(resource) == length and zlib.crc32(resource) == checksum:
                first = _HEADER.size + length
                believable = first <= acknowledged <= os.fstat(descriptor).st_size
                return cls(path, descriptor, resource, first, acknowledged if believable else first)
            first = os.pread(descriptor, _READ_SIZE, 0).find(FRAME_MAGIC)
            if stand_in and first >= 0:
                return cls(path, descriptor, stand_in, first, first, is_sound=False)
        os.close(descriptor)
        return None

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def read(self, begin: int, end: int) -> list[Frame | Damage]:
        """The frames between two offsets, about a MiB of them at once; at least one where there is one."""
        size = _READ_SIZE
        while True:
            block = os.pread(self.descriptor, min(size, end - begin), begin)
            found, used = _frames(block, begin, is_last=begin + len(block) >= end)
            if found or not block or begin + used >= end:
                return found
            size *= 4

    def acknowledge(self, offset: int) -> None:
        """Everything before `offset` has arrived."""
        os.pwrite(self.descriptor, _OFFSET.pack(offset), len(SEGMENT_MAGIC))
        self.acknowledged = offset

    def close(self) -> None:
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _frames(block: bytes, base: int, *, is_last: bool) -> tuple[list[Frame | Damage], int]:
    """What a block of a segment holds, and how much of it was understood. In the last one, a torn rest is damage."""
    found: list[Frame | Damage] = []
    at = 0
    while at < len(block):
        frame = _frame_at(block, at, base)
        if isinstance(frame, Frame):
            found.append(frame)
            at = frame.end - base
            continue
        if frame is _Not.INCOMPLETE and not is_last:
            break
        # A length that was damaged points anywhere, so look for the next frame behind this one's magic.
        following = block.find(FRAME_MAGIC, at + 1)
        if following < 0 and not is_last:
            break
        behind = following if following >= 0 else len(block)
        found.append(Damage(base + at, base + behind))
        at = behind
    return found, at


class _Not(Enum):
    """Why there is no frame at an offset."""

    INCOMPLETE = "the block ends inside it"
    DAMAGED = "its header or its checksum is wrong"


def _frame_at(block: bytes, at: int, base: int) -> Frame | _Not:
    if len(block) - at < _FRAME.size:
        return _Not.INCOMPLETE
    magic, length, checksum, kind = _FRAME.unpack_from(block, at)
    if magic != FRAME_MAGIC or length > LARGEST_RECORD or kind not in _KINDS:
        return _Not.DAMAGED
    end = at + _FRAME.size + length
    if end > len(block):
        return _Not.INCOMPLETE
    record = block[at + _FRAME.size : end]
    if zlib.crc32(record, _SEEDS[FrameKind(kind)]) != checksum:
        return _Not.DAMAGED
    return Frame(FrameKind(kind), record, base + end)
