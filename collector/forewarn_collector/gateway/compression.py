"""
Compressed bodies, within a bound: what a body would become beyond the limit is never made.

Whatever the form, at most a limit's worth is inflated, and the memory that a format may ask for is bounded, too.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from forewarn_collector.gateway.errors import BadPayload, UnknownMediaType, too_large

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP_WINDOW: Final = 31
"""zlib's way of saying: gzip header and trailer, nothing else."""
_ZSTD_OPTIONS: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}
"""A frame may not ask for a window of more than 8 MiB: https://www.rfc-editor.org/rfc/rfc8878#name-window-descriptor."""
_MEMBERS: Final = 1024
"""Whoever joins compressed files sends a few; each costs a decompressor of its own."""
_SLICE: Final = 16 << 10
"""What is fed at once: both copy what of it lies behind the end of a member."""


class Coding(StrEnum):
    """The content codings of a request."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"

    @classmethod
    def named(cls, text: str) -> Coding:
        """What a `content-encoding` header says; raises `UnknownMediaType`."""
        name = text.lower() or cls.IDENTITY
        if name not in set(cls):
            raise UnknownMediaType(
                f"The content encoding {name!r} is not spoken here.", do="Send gzip, zstd, or no content encoding."
            )
        return cls(name)


class _Member(Protocol):
    """One member of a gzip body, one frame of a zstd body, as both libraries have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview, max_length: int, /) -> bytes: ...


def decompressed(raw: bytes, coding: Coding, *, limit: int) -> bytes:
    """The whole of a body (all of its members), never making more than `limit` bytes of it."""
    if coding is Coding.IDENTITY:
        return raw
    chunks: list[bytes] = []
    rest, size, members = memoryview(raw), 0, 0
    try:
        while rest:
            members += 1
            if members > _MEMBERS:
                raise _not_it(coding, f"it has more than {_MEMBERS} members")
            member = _member(coding)
            while not member.eof:
                if not rest:
                    raise _not_it(coding, "it ends too early")
                fed = rest[:_SLICE]
                chunk = member.decompress(fed, limit - size + 1)
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                chunks.append(chunk)
                rest = rest[len(fed) - len(member.unused_data) :]
    except (zlib.error, zstd.ZstdError) as error:
        raise _not_it(coding, str(error)) from error
    return b"".join(chunks)


def _member(coding: Coding) -> _Member:
    if coding is Coding.GZIP:
        return zlib.decompressobj(_GZIP_WINDOW)
    return zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)


def _not_it(coding: Coding, why: str) -> BadPayload:
    return BadPayload(
        f"The body is not the {coding} it is said to be: {why}.", do="Compress the whole body, or not at all."
    )
