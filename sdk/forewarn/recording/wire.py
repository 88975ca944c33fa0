"""
OTLP messages as bytes, without building message objects: the few protobuf shapes that records are made of.

Protobuf allows this: a message is its fields one after another, in any order, and concatenating two serialisations of
parts of a message is a serialisation of the message. tests/sdk/test_records.py reads all of it back with the
generated classes of opentelemetry-proto.
"""

from __future__ import annotations

import struct
from typing import Final

_BITS: Final = 14
_SMALL: Final = 1 << _BITS
_MASK: Final = _SMALL - 1
_LAST: Final = [bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80, n >> 7]) for n in range(_SMALL)]
"""A varint's last 14 bits, which is all of a small one."""
_MORE: Final = [bytes([n & 0x7F | 0x80, n >> 7 | 0x80]) for n in range(_SMALL)]
"""14 bits that others follow."""
_SHORT_TEXT: Final = 8_000
"""Up to here, all lengths around a text are small numbers."""
fixed64: Final = struct.Struct("<Q").pack


def varint(number: int) -> bytes:
    """A non-negative integer."""
    if number < _SMALL:
        return _LAST[number]
    encoded = _MORE[number & _MASK]
    number >>= _BITS
    while number >= _SMALL:
        encoded += _MORE[number & _MASK]
        number >>= _BITS
    return encoded + _LAST[number]


def field(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field; `tag` is its number and wire type, already encoded."""
    return b"".join((tag, varint(len(content)), content))


def attribute_prefix(key: str) -> bytes:
    """The part of a KeyValue that only depends on its key: key, and the tag of the value."""
    return field(b"\x0a", key.encode()) + b"\x12"


def text_attribute(prefix: bytes, text: bytes) -> bytes:
    """A Span attribute with a text value."""
    size = len(text)
    if size > _SHORT_TEXT:
        return field(b"\x4a", prefix + field(b"", field(b"\x0a", text)))
    length = _LAST[size]
    size += 1 + len(length)
    value_length = _LAST[size]
    return b"".join(
        (b"\x4a", _LAST[size + len(prefix) + len(value_length)], prefix, value_length, b"\x0a", length, text)
    )


def int_attribute(prefix: bytes, number: int) -> bytes:
    """A Span attribute with an integer value."""
    encoded = varint(number)
    size = 1 + len(encoded)
    return b"".join((b"\x4a", _LAST[len(prefix) + 1 + size], prefix, _LAST[size], b"\x18", encoded))


def attribute(key: str, value: str | int) -> bytes:
    """A Span attribute, for those that are encoded once."""
    prefix = attribute_prefix(key)
    return (
        int_attribute(prefix, value)
        if isinstance(value, int)
        else text_attribute(prefix, value.encode("utf-8", "replace"))
    )


def resource(attributes: dict[str, str | int]) -> bytes:
    """A Resource message; its attributes are KeyValues like a Span's, under another field number."""
    # A Span's attributes are field 9 (tag 0x4a), a Resource's field 1 (tag 0x0a); both tags are one byte.
    return b"".join(b"\x0a" + attribute(key, value)[1:] for key, value in attributes.items())


def status_error(message: str) -> bytes:
    """A Span's status: error, with a text."""
    return field(b"\x7a", field(b"\x12", message.encode("utf-8", "replace")) + b"\x18\x02")


def export_request(resource_message: bytes, scope: bytes, spans: bytes) -> bytes:
    """An ExportTraceServiceRequest of one resource and one scope; `spans` are made by `span_field`."""
    scope_spans = field(b"\x0a", scope) + spans
    return field(b"\x0a", field(b"\x0a", resource_message) + field(b"\x12", scope_spans))


def scope_message(name: str, version: str) -> bytes:
    """An InstrumentationScope message."""
    return field(b"\x0a", name.encode()) + field(b"\x12", version.encode())


def span_field(span: bytes) -> bytes:
    """A Span message as the field of ScopeSpans that holds it."""
    return field(b"\x12", span)
