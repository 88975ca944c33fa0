"""
Whose spans a request holds, seen without decoding it.

Our own SDK's requests take the shorter way into the store. What cannot be told at a glance is not ours: the other way
reads everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from forewarn.recording.wire import varint
from forewarn_collector.dialects.table import OWN_SCOPE

_SPANS_OF_RESOURCE: Final = b"\x0a"
_SPANS_OF_SCOPE: Final = b"\x12"
_NAME: Final = b"\x0a" + varint(len(OWN_SCOPE)) + OWN_SCOPE.encode()
_TAGS: Final = frozenset(b"\x0a\x12\x1a")
"""Of ExportTraceServiceRequest and ResourceSpans, all of which are length-delimited."""


def is_ours(request: bytes) -> bool:
    """Whether every scope of the request is, at its beginning, that of our SDK."""
    try:
        scopes = [
            request[begin : begin + 2 + len(_NAME) + 2]
            for tag, start, end in _fields(request, 0, len(request))
            if tag == _SPANS_OF_RESOURCE
            for inner, begin, _ in _fields(request, start, end)
            if inner == _SPANS_OF_SCOPE
        ]
    except (IndexError, _Strange):
        return False
    # A scope begins its ScopeSpans: tag, length, then its name's.
    return all(scope[:1] == b"\x0a" and scope[2:].startswith(_NAME) for scope in scopes)


class _Strange(Exception):
    """The bytes are not what an exporter writes."""


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Tag, beginning and end of each field."""
    while at < end:
        tag = data[at : at + 1]
        length, at = _length(data, at + 1)
        if tag[0] not in _TAGS or at + length > end:
            raise _Strange
        yield tag, at, at + length
        at += length


def _length(data: bytes, at: int) -> tuple[int, int]:
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return length, at
        shift += 7
