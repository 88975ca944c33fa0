"""Broken protobuf of every kind: a request is taken as a whole that can be read again, or refused; nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.recording.wire import varint
from forewarn_collector.gateway.compression import Coding
from forewarn_collector.gateway.errors import BadPayload, TooLarge
from forewarn_collector.gateway.payload import Form, MediaType, Payload, read_payload
from forewarn_collector.gateway.redaction import Redactor
from forewarn_collector.wire import Understood

REDACTOR = Redactor(b"test")
LIMIT = 1 << 16

PLAIN = Form(MediaType.PROTOBUF, Coding.IDENTITY)
FORMS = st.builds(Form, st.just(MediaType.PROTOBUF), st.sampled_from(Coding))


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


def taken(body: bytes, form: Form = PLAIN) -> Payload | None:
    """What is stored of a body; None where it is refused."""
    try:
        return read_payload(body, form, REDACTOR, limit=LIMIT)
    except (BadPayload, TooLarge):
        return None


def faults_of(payload: Payload | None) -> list[str]:
    """What is wrong with what is stored: not the same when read again, unread fields, spans that nobody can find."""
    faults = []
    for value in payload.values if payload else ():
        again = Understood.of(value)
        if again.value != value or again.unread:
            faults.append(f"read otherwise: {value.hex()}")
        for resource in again.request.resource_spans:
            spans = [span for scope in resource.scope_spans for span in scope.spans]
            faults += [str(span) for span in spans if (len(span.trace_id), len(span.span_id)) != (16, 8)]
    return faults


@settings(max_examples=600, deadline=None)
@given(body=MESSAGES, form=FORMS)
def test_no_message_is_half_taken(body: bytes, form: Form) -> None:
    """Fields of wrong numbers, types and lengths, groups, and all of it nested, with every content coding."""
    assert faults_of(taken(body, form)) == []


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

    assert faults_of(taken(bytes(body))) == []


@pytest.mark.parametrize(("depth", "fits"), [(1, True), (40, True), (50, False), (99, False), (5_000, False)])
def test_depth_is_bounded(otlp: Any, depth: int, *, fits: bool) -> None:
    """A value within a value within a value: protobuf's own bound refuses it, and no stack ends here."""
    value = b""
    for _ in range(depth):
        value = b"\x2a" + varint(len(b"\x0a" + varint(len(value)) + value)) + b"\x0a" + varint(len(value)) + value
    attribute = b"\x0a\x01a\x12" + varint(len(value)) + value
    span = otlp.span(1).SerializeToString() + b"\x4a" + varint(len(attribute)) + attribute
    scope = b"\x12" + varint(len(span)) + span
    resource = b"\x12" + varint(len(scope)) + scope

    assert (taken(b"\x0a" + varint(len(resource)) + resource) is not None) is fits


def test_every_torn_body_is_refused(otlp: Any) -> None:
    """A body that ends early is not what its sender meant; whole it is taken, and as nothing it says nothing."""
    body = well_formed(otlp)

    ends = [end for end in range(len(body) + 1) if taken(body[:end]) is not None]

    assert ends == [0, len(body)]
    assert faults_of(taken(body)) == []


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), form=FORMS)
def test_noise_is_refused_or_whole(body: bytes, form: Form) -> None:
    """Whatever comes, compressed as it says or not."""
    assert faults_of(taken(body, form)) == []
