"""
OTLP messages as bytes, without building message objects: the few protobuf shapes that records are made of.

Protobuf allows this: a message is its fields one after another, in any order, and concatenating two serialisations of
parts of a message is a serialisation of the message. tests/sdk/test_records.py reads all of it back with the
generated classes of opentelemetry-proto.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

fixed64: Final = struct.Struct("<Q").pack


def varint(number: int) -> bytes:
    """A non-negative integer."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


_SHORT: Final = [varint(number) for number in range(1 << 12)]


def varint_of_count(number: int) -> bytes:
    """The same, quicker for numbers below two millions."""
    if number < 4096:
        return _SHORT[number]
    if number < 16_384:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 2_097_152:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return varint(number)


def varint_of_time(unix_ns: int) -> bytes:
    """The same of a Unix time in nanoseconds between 1972 and 2262, which always takes nine bytes."""
    # Groups of 7 bits are moved apart to 8, by halves: 14 bits in 16, then 7 in 8.
    low = (unix_ns & 0x3FFF) | (unix_ns & 0xFFFC000) << 2
    low = (low & 0x7F007F) | (low & 0x3F803F80) << 1 | 0x80808080
    return low.to_bytes(4, "little") + _time_from(unix_ns >> 28)


@lru_cache(maxsize=16)
def _time_from(quarter_seconds: int) -> bytes:
    """The upper five bytes, which change four times a second."""
    return bytes(
        (
            quarter_seconds & 0x7F | 0x80,
            quarter_seconds >> 7 & 0x7F | 0x80,
            quarter_seconds >> 14 & 0x7F | 0x80,
            quarter_seconds >> 21 & 0x7F | 0x80,
            quarter_seconds >> 28,
        )
    )


def field(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field; `tag` is its number and wire type, already encoded."""
    return b"".join((tag, varint(len(content)), content))


def attribute_prefix(key: str) -> bytes:
    """The part of a KeyValue that only depends on its key: key, and the tag of the value."""
    return field(b"\x0a", key.encode()) + b"\x12"


def text_attribute(prefix: bytes, text: bytes) -> bytes:
    """A Span attribute with a text value."""
    return _text_attribute_head(prefix, len(text)) + text


@lru_cache(maxsize=4096)
def _text_attribute_head(prefix: bytes, size: int) -> bytes:
    """The attribute up to a text of so many bytes: lengths within lengths, and every call needs two of them."""
    value_head = b"\x0a" + varint(size)
    value_size = len(value_head) + size
    key_value_head = prefix + varint(value_size) + value_head
    return b"\x4a" + varint(len(key_value_head) + size) + key_value_head


def int_attribute_head(key: str, size: int) -> bytes:
    """A Span attribute with an integer value, up to the value, which is a varint of `size` bytes."""
    prefix = attribute_prefix(key)
    return b"\x4a" + varint(len(prefix) + 2 + size) + prefix + varint(1 + size) + b"\x18"


def attribute(key: str, value: str | int) -> bytes:
    """A Span attribute, for those that are encoded once."""
    if isinstance(value, str):
        return text_attribute(attribute_prefix(key), value.encode("utf-8", "replace"))
    encoded = varint(value)
    return int_attribute_head(key, len(encoded)) + encoded


def resource(attributes: dict[str, str | int]) -> bytes:
    """A Resource message; its attributes are KeyValues like a Span's, under another field number."""
    # A Span's attributes are field 9 (tag 0x4a), a Resource's field 1 (tag 0x0a); both tags are one byte.
    return b"".join(b"\x0a" + attribute(key, value)[1:] for key, value in attributes.items())


def status_error(message: str) -> bytes:
    """A Span's status: error, with a text."""
    text = field(b"\x12", message.encode("utf-8", "replace")) if message else b""
    return field(b"\x7a", text + b"\x18\x02")


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
