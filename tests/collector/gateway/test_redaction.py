"""
Redaction in the gateway: whatever a sender writes, and wherever in a span, its credentials are not in what is stored.
"""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from forewarn.credentials import MARKED
from forewarn.redaction import Redactor as TextRedactor
from forewarn_collector.gateway.redaction import LONGEST_TEXT, Redactor, redaction_key

REDACTOR = Redactor(b"test")
SECRET = "tr0ub4dor"
TEXTS = {
    "a password in a URL": f"postgres://admin:{SECRET}@db.internal/app",
    "a header": f"Authorization: Token {SECRET}",
    "SQL": f"ALTER ROLE bob PASSWORD '{SECRET}'",
    "a command line": f"login --token {SECRET}",
    "JSON": json.dumps({"user": {"credentials": {"deep": [SECRET]}}}),
    "JSON in JSON": json.dumps({"body": json.dumps({"session": SECRET})}),
    "JSON that spells its names": f'{{"\\u0070ass\\u0077ord": "{SECRET}"}}',
    "JSON with a pair": json.dumps({"headers": [{"name": "X-Api-Key", "value": SECRET}]}),
    "JSON with words of a command": json.dumps(["login", "--password", SECRET]),
    "JSON in prose": f'answered {{"auth": "{SECRET}"}} and left',
    "a token of a service": "ghp_" + f"{SECRET}a1B2c3D4e5F6g7H8i9J0",
}


@dataclass(frozen=True)
class Cleaned:
    value: bytes
    count: int


def clean(body: bytes, redactor: Redactor = REDACTOR) -> Cleaned:
    cleaning = redactor.cleaning()
    value = cleaning.clean(body, ExportTraceServiceRequest.FromString(body))
    return Cleaned(value, cleaning.count)


def _values(otlp: Any, text: str) -> dict[str, Span]:
    """A span for every place that a text can be in."""
    return {
        "attribute": otlp.span(attributes={"input.value": text}),
        "list": otlp.span(attributes={"a": ["x", [text]]}),
        "map": otlp.span(attributes={"a": {"b": {"c": text}}}),
        "bytes": otlp.span(attributes={"a": text.encode()}),
        "status": _with(otlp, status=Status(code=2, message=text)),
        "name": otlp.span(name=text),
        "state": otlp.span(trace_state=text),
        "event": _with(otlp, events=[Span.Event(name=text, attributes=[_attribute("exception.message", text)])]),
        "link": _with(otlp, links=[Span.Link(attributes=[_attribute("a", text)])]),
        "key": otlp.span(attributes={text: "x"}),
    }


def _with(otlp: Any, **fields: Any) -> Span:
    span: Span = otlp.span()
    span.MergeFrom(Span(**fields))
    return span


def _attribute(key: str, text: str) -> KeyValue:
    return KeyValue(key=key, value={"string_value": text})


@pytest.mark.parametrize("kind", TEXTS)
def test_a_credential_is_replaced_wherever_it_stands(kind: str, otlp: Any) -> None:
    """
    In attributes, lists, maps, bytes, names, status, events and links, of the span, its resource and its scope.
    """
    for place, span in _values(otlp, TEXTS[kind]).items():
        cleaned = clean(otlp.request(span))

        assert cleaned.count >= 1, place
        assert SECRET.encode() not in cleaned.value, place
        assert re.search(MARKED.encode(), cleaned.value), place
    told = clean(otlp.request(otlp.span(), resource={"process.command_line": TEXTS[kind]}))
    assert SECRET.encode() not in told.value


@pytest.mark.parametrize("name", ["db.password", "http.request.header.authorization", "apiKey", "user.session_id"])
@pytest.mark.parametrize("value", ["plain", 7, 1.5, [SECRET], {"deep": SECRET}, b"raw"])
def test_a_value_under_a_telling_name_is_hidden_whatever_it_is(name: str, value: Any, otlp: Any) -> None:
    """
    The name of an attribute or of an entry of a map is enough.
    """
    for attributes in ({name: value}, {"a": {name: value}}):
        cleaned = clean(otlp.request(otlp.span(attributes=attributes)))

        (span,) = ExportTraceServiceRequest.FromString(cleaned.value).resource_spans[0].scope_spans[0].spans
        kept = span.attributes[0].value
        kept = kept.kvlist_value.values[0].value if kept.HasField("kvlist_value") else kept
        assert re.fullmatch(MARKED, kept.string_value)
        assert cleaned.count == 1


def test_the_urls_of_schemas_are_looked_through(otlp: Any) -> None:
    """
    They stand beside the spans, and are in the log like everything else.
    """
    request = ExportTraceServiceRequest.FromString(otlp.record(otlp.span()).value)
    request.resource_spans[0].schema_url = f"https://ann:{SECRET}@schemas.internal/1"
    request.resource_spans[0].scope_spans[0].schema_url = f"https://schemas.internal/1?token={SECRET}"

    found = clean(request.SerializeToString())

    assert SECRET.encode() not in found.value
    assert found.count == 2


def test_the_id_of_a_conversation_stays(otlp: Any) -> None:
    """
    Where a dialect keeps it under a session's name; of any other session the id is hidden.
    """
    kept = otlp.span(attributes={"langsmith.metadata.session_id": "s-1"})
    hidden = otlp.span(attributes={"http.session_id": SECRET})

    assert b"s-1" in clean(otlp.record(kept).value).value
    assert SECRET.encode() not in clean(otlp.record(hidden).value).value


def test_what_holds_nothing_is_the_very_same_bytes(otlp: Any) -> None:
    """
    Ordinary names, counts of tokens and ids of sessions are no reason to write a body anew.
    """
    attributes = {
        "gen_ai.usage.input_tokens": 7,
        "llm.token_count.prompt": 3,
        "session.id": "s-1",
        "password": True,
        "author": "ann",
        "gen_ai.tool.call.arguments": '{"query": "SELECT 1", "max_tokens": 5}',
    }
    body = otlp.request(otlp.span(attributes=attributes))

    assert clean(body).value is body


def test_marks_of_the_sdk_stay(otlp: Any) -> None:
    """
    What is redacted already is neither replaced nor counted again, and the gateway's own output is its fixed point.
    """
    marked = TextRedactor()
    texts = {str(place): marked.text(text) for place, text in enumerate(TEXTS.values())}
    body = otlp.request(otlp.span(attributes={**texts, "db.password": marked.mark("password", "x")}))
    mine = clean(otlp.request(otlp.span(attributes=dict(enumerate_texts()))))

    assert (clean(body).value, clean(body).count) == (body, 0)
    assert clean(mine.value).value == mine.value


def enumerate_texts() -> list[tuple[str, str]]:
    return [(f"a{place}", text) for place, text in enumerate(TEXTS.values())]


@given(st.text(max_size=40), st.sampled_from(sorted(TEXTS)), st.text(max_size=40))
def test_the_look_at_the_bytes_misses_nothing_that_the_text_shows(before: str, kind: str, after: str) -> None:
    """
    Whatever bytes stand around a text, it is read if reading it would change it.
    """
    text = before + TEXTS[kind] + after
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add().attributes.append(_attribute("a", text))

    if TextRedactor().text(text) != text:
        assert clean(request.SerializeToString()).count >= 1


def test_a_text_too_long_to_read_is_replaced_whole(otlp: Any) -> None:
    """
    A large text with nothing in it stays; one that may hold something costs no more than a small one.
    """
    harmless, dirty = "rows and rows " * LONGEST_TEXT, f"password={SECRET} " * LONGEST_TEXT

    cleaned = clean(otlp.request(otlp.span(attributes={"a": harmless, "b": dirty})))

    (span,) = ExportTraceServiceRequest.FromString(cleaned.value).resource_spans[0].scope_spans[0].spans
    assert span.attributes[0].value.string_value == harmless
    assert re.fullmatch(MARKED, span.attributes[1].value.string_value)


def test_patterns_are_added_and_shapes_turned_off(otlp: Any) -> None:
    """
    The user's own patterns replace their group; what is off by its mark's name is left alone.
    """
    redactor = Redactor(b"test", patterns=["pin (?P<secret>[0-9]{4})"], off=["session"])
    body = otlp.request(otlp.span(attributes={"a": "pin 2231", "session_id": "s-1"}))

    cleaned = clean(body, redactor)

    assert b"2231" not in cleaned.value
    assert b"pin [redacted:custom:" in cleaned.value
    assert b"s-1" in cleaned.value
    assert clean(otlp.request(otlp.span(attributes={"password": "x"})), Redactor(b"test", off=["all"])).count == 0


def test_the_key_is_the_owners_and_stays(tmp_path: Path) -> None:
    """
    One key per data folder, for its owner's eyes; marks of one secret are alike under it, and under no other.
    """
    file = tmp_path / "redaction.key"

    first, second = redaction_key(file), redaction_key(file)

    assert first == second
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert redaction_key(tmp_path / "other.key") != first
