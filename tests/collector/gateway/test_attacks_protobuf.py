"""Broken protobuf of every kind: a request is taken as a whole that can be read again, or refused; nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn_collector.gateway.compression import Coding
from forewarn_collector.gateway.errors import BadPayload, TooLarge
from forewarn_collector.gateway.payload import Form, MediaType, read_payload
from forewarn_collector.gateway.redaction import Redactor
from forewarn_collector.wire import Understood

REDACTOR = Redactor(b"test")
LIMIT = 1 << 16

FORMS = st.builds(Form, st.just(MediaType.PROTOBUF), st.sampled_from(Coding))


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@st.composite
def fields(draw: st.DrawFn, inner: st.SearchStrategy[bytes]) -> bytes:
    """One field of any number and wire type, its length right, too long or absurd."""
    number = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 1000, (1 << 29) - 1, 1 << 40]))
    kind = draw(st.integers(0, 7))
    tag = varint(number << 3 | kind)
    value = draw(inner)
    match kind:
        case 0:
            return tag + draw(st.sampled_from([b"\x00", b"\x7f", b"\xff" * 9 + b"\x01", b"\xff" * 11, b"\x80\x80\x00"]))
        case 1:
            return tag + value[:8].ljust(8, b"\x01")
        case 2:
            lie = draw(st.sampled_from([0, 0, 0, 0, -1, 1, 1 << 31, 1 << 62]))
            return tag + varint(max(0, len(value) + lie)) + value
        case 5:
            return tag + value[:4].ljust(4, b"\x01")
        case _:  # groups, which nothing here has, closed or not; and the two kinds that do not exist
            return tag + value


MESSAGES = st.recursive(
    st.binary(max_size=20) | st.just(bytes(16)),
    lambda inner: st.lists(fields(inner), max_size=4).map(b"".join),
    max_leaves=25,
)


def well_formed(otlp: Any) -> bytes:
    body: bytes = otlp.request(otlp.span(1), otlp.span(2, attributes={"a": {"b": [1, b"x", None]}}))
    return body


def check(body: bytes, form: Form) -> None:
    """What is taken says the same when it is read again, holds nothing unread, and only spans that can be found."""
    try:
        payload = read_payload(body, form, REDACTOR, limit=LIMIT)
    except (BadPayload, TooLarge):
        return
    assert payload.whole is None or len(payload.whole.received) <= LIMIT
    for value in payload.values:
        again = Understood.of(value)
        assert again.value == value
        assert again.unread == 0
        for resource in again.request.resource_spans:
            for scope in resource.scope_spans:
                assert all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in scope.spans)


@settings(max_examples=600, deadline=None)
@given(body=MESSAGES, form=FORMS)
def test_no_message_is_half_taken(body: bytes, form: Form) -> None:
    """Fields of wrong numbers, types and lengths, groups, and all of it nested, with every content coding."""
    check(body, form)


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_good_body_is_half_taken(otlp: Any, data: st.DataObject) -> None:
    """Bits flipped, bytes cut out, put in and repeated."""
    body = bytearray(well_formed(otlp))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip":
                body[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del body[place : place + data.draw(st.integers(1, 9))]
            case "insert":
                body[place:place] = data.draw(st.binary(min_size=1, max_size=9))
            case "repeat":
                body += body[place:]
        if not body:
            return

    check(bytes(body), Form(MediaType.PROTOBUF, Coding.IDENTITY))


@pytest.mark.parametrize("depth", [50, 99, 150, 5_000])
def test_depth_is_bounded(otlp: Any, depth: int) -> None:
    """A value within a value within a value: protobuf's own bound refuses it, and no stack ends here."""
    value = b""
    for _ in range(depth):
        value = b"\x2a" + varint(len(b"\x0a" + varint(len(value)) + value)) + b"\x0a" + varint(len(value)) + value
    attribute = b"\x0a\x01a\x12" + varint(len(value)) + value
    span = otlp.span(1).SerializeToString() + b"\x4a" + varint(len(attribute)) + attribute
    scope = b"\x12" + varint(len(span)) + span
    resource = b"\x12" + varint(len(scope)) + scope

    check(b"\x0a" + varint(len(resource)) + resource, Form(MediaType.PROTOBUF, Coding.IDENTITY))


@pytest.mark.parametrize("end", range(0, 260, 7))
def test_every_torn_body_is_refused_or_whole(otlp: Any, end: int) -> None:
    """A body that ends early is not what its sender meant; only at the end of a message can nobody see it."""
    check(well_formed(otlp)[:end], Form(MediaType.PROTOBUF, Coding.IDENTITY))


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), form=FORMS)
def test_noise_is_refused_or_whole(body: bytes, form: Form) -> None:
    """Whatever comes, compressed as it says or not."""
    check(body, form)
