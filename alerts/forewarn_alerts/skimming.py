"""
Skimming: whether a record of the log can concern any rule, seen without reading it.

Nearly all bulk of our own SDK is calls that no rule asks for. Their effects are counted in the bytes as they are
encoded: it takes a third of the time of reading them. In doubt a record is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from forewarn.conventions import EFFECT, Effect
from forewarn.recording.wire import varint
from forewarn_alerts.record import Interests, claimed_environment, verified_environment
from forewarn_collector.dialects.table import OWN_SCOPE, SPAN_NAME_PREFIX
from forewarn_collector.log.interface import Record
from forewarn_collector.wire import field_at

_WORTH_BYTES: Final = 16 << 10
"""A smaller record is read as fast."""
_RESOURCE_SPANS, _RESOURCE, _SCOPE_SPANS, _SCOPE = 0x0A, 0x0A, 0x12, b"\x0a"
_OWN: Final = b"\x0a" + varint(len(OWN_SCOPE)) + OWN_SCOPE.encode()
_EFFECT: Final = b"\x0a" + varint(len(EFFECT)) + EFFECT.encode()
_CALL: Final = SPAN_NAME_PREFIX.encode()


def concerns_nobody(record: Record, interests: Interests) -> bool:
    """
    Certain of whoever speaks truly: who would deceive it could say `read` as well.

    So it is not for whoever has a list of tools, which corrects what senders say.
    """
    value = record.value
    if len(value) < _WORTH_BYTES:
        return False
    try:
        wanted = _wanted(record, interests)
    except (DecodeError, IndexError):
        return False
    if not wanted:
        return wanted is not None
    # Only a call says its effect, and once: a text that speaks of calls, or a second opinion, is a reason to read.
    unwanted = sum(value.count(_said(effect)) for effect in set(Effect) - wanted)
    return unwanted == value.count(_CALL) == value.count(_EFFECT)


def _wanted(record: Record, interests: Interests) -> frozenset[str] | None:
    """The effects that some rule asks for; None where not every span is one of our SDK."""
    wanted: frozenset[str] = frozenset()
    environment = verified_environment(record)
    for tag, start, stop in _fields(record.value, 0, len(record.value)):
        if tag != _RESOURCE_SPANS:
            return None
        claimed = ""
        for inner, begin, end in _fields(record.value, start, stop):
            if inner == _RESOURCE:
                claimed = claimed_environment(Resource.FromString(record.value[begin:end]).attributes)
            elif inner == _SCOPE_SPANS and not _is_own(record.value[begin : begin + 2 + len(_OWN)]):
                return None
        interest = interests.interest(environment, claimed)
        wanted |= interest.starts | interest.any_end
    return wanted


def _is_own(scope_spans: bytes) -> bool:
    """By its beginning: the scope's tag, its length, its name."""
    return scope_spans[:1] == _SCOPE and scope_spans[2:] == _OWN


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    while at < end:
        tag, begin, at = field_at(data, at)
        if at > end:
            raise DecodeError("a field ends behind its message")
        yield tag, begin, at


@cache
def _said(effect: Effect) -> bytes:
    """The attribute as it is encoded."""
    said = KeyValue(key=EFFECT, value=AnyValue(string_value=effect)).SerializeToString()
    return bytes(said)
