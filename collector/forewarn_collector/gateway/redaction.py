"""
Redaction, once more, of what senders wrote: whatever an application exports, its credentials do not reach the log.

A body is looked at as bytes first, by one set of expressions that takes as long as the body is; nearly every body ends
there, unread. In one that may hold something each span is asked the same, and only the texts of those that may are
looked through, by the rules that the SDK has.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # it has no stubs
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from forewarn.credentials import NAMES_LOOK, SHAPES
from forewarn.redaction import EVERYTHING, Rules, is_value_key
from forewarn.redaction import Redactor as TextRedactor
from forewarn_collector.dialects.table import dialects

LONGEST_TEXT: Final = 256 << 10
"""A longer one in which there may be something is replaced whole: looking through it would hold up everybody else."""
MOST_TEXT: Final = 4 << 20
"""Characters of all suspicious texts of one request; what is beyond is replaced whole, too."""
_LOOK_MEMORY: Final = 64 << 20
_SPELT_OUT: Final = r"\\u00[4-7][0-9A-Fa-f]"
"""A letter that JSON need not escape: whoever does may mean to hide the name that it is in."""
_KEY_BYTES: Final = 32
_CONVERSATIONS: Final = frozenset(
    alias.name for dialect in dialects() for alias in dialect.aliases if alias.column == "conversation_id"
)
"""Where a dialect has the id of a conversation, though its name may be that of a session's cookie."""


class Redactor:
    """One for all the doors of a process; its expressions are compiled once."""

    def __init__(self, key: bytes, *, patterns: Iterable[str] = (), off: Iterable[str] = ()) -> None:
        self._rules = Rules.of(key.hex(), patterns, off)
        self._look = _compiled_look()

    def cleaning(self) -> Cleaning:
        """Of one request, be it in pieces."""
        return Cleaning(self._rules, self._look)


def redaction_key(file: Path) -> bytes:
    """That of the last time, so that marks stay comparable; else a new one, readable by its owner alone."""
    with suppress(FileNotFoundError):
        if len(key := file.read_bytes()) == _KEY_BYTES:
            return key
    key, fresh = secrets.token_bytes(_KEY_BYTES), file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    return key


def _compiled_look() -> Any:
    options = re2.Options()
    # Lengths and tags stand between the texts: every byte is a character.
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _LOOK_MEMORY
    look = re2.Set.SearchSet(options)
    for expression in (NAMES_LOOK, _SPELT_OUT, *(shape.look for shape in SHAPES)):
        look.Add(expression)
    look.Compile()
    return look


def _parts(request: ExportTraceServiceRequest) -> Iterator[Message]:
    for resource_spans in request.resource_spans:
        yield resource_spans.resource
        for scope_spans in resource_spans.scope_spans:
            yield scope_spans.scope
            yield from scope_spans.spans


def _described(request: ExportTraceServiceRequest) -> Iterator[ResourceSpans | ScopeSpans]:
    for resource_spans in request.resource_spans:
        yield resource_spans
        yield from resource_spans.scope_spans


class Cleaning:
    """The cleaning of one request."""

    def __init__(self, rules: Rules, look: Any) -> None:
        self._is_off = EVERYTHING in rules.off
        # A pattern of the user's own may be more than RE2 knows, so with one every text is read.
        self._reads_all = bool(rules.patterns)
        self._look = look
        self._walk = _Walk(TextRedactor(rules), self._may_hide)

    @property
    def count(self) -> int:
        """How many credentials there were."""
        return self._walk.redactor.count

    def clean(self, body: bytes, request: ExportTraceServiceRequest) -> bytes:
        """
        The body, the very same where there is nothing to hide; else written anew without it.

        `request` is the body as it was parsed; it is cleaned in place.
        """
        if self._is_off or not self._may_hide(body):
            return body
        before = self.count
        for part in _parts(request):
            if self._may_hide(part.SerializeToString()):
                self._walk.message(part)
        for described in _described(request):
            self._walk.texts(described, "schema_url", described.schema_url, repeated=False)
        return request.SerializeToString() if self.count > before else body

    def _may_hide(self, encoded: bytes) -> bool:
        return self._reads_all or bool(self._look.Match(encoded))


class _Walk:
    """Cleans every text of one message in place, whatever field it is in."""

    def __init__(self, redactor: TextRedactor, may_hide: Callable[[bytes], bool]) -> None:
        self.redactor = redactor
        self._may_hide = may_hide
        self._left = MOST_TEXT

    def message(self, message: Message) -> None:
        if isinstance(message, AnyValue):
            self.value(message)
            return
        if isinstance(message, KeyValue):
            self.named(message)
        for field, value in message.ListFields():
            if field.message_type is not None:
                for each in value if field.is_repeated else (value,):
                    self.message(each)
            elif field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_STRING:
                self.texts(message, field.name, value, repeated=field.is_repeated)

    def named(self, attribute: KeyValue) -> None:
        what = self.redactor.name(attribute.key)
        if what and attribute.key not in _CONVERSATIONS:
            self.hide(attribute.value, what)

    def hide(self, value: AnyValue, what: str) -> None:
        kind = value.WhichOneof("value")
        if kind in {None, "bool_value"} or (kind == "string_value" and not value.string_value):
            return
        if kind == "string_value":
            secret = value.string_value
        elif kind in {"int_value", "double_value"}:
            secret = str(getattr(value, kind))
        else:
            secret = value.SerializeToString(deterministic=True).decode("latin-1")
        value.string_value = self.redactor.mark(what, secret)

    def value(self, value: AnyValue) -> None:
        kind = value.WhichOneof("value")
        if kind == "string_value":
            cleaned = self.text(value.string_value)
            if cleaned != value.string_value:
                value.string_value = cleaned
        elif kind == "bytes_value":
            text = value.bytes_value.decode("latin-1")
            cleaned = self.text(text)
            if cleaned != text:
                value.bytes_value = cleaned.encode("latin-1", "backslashreplace")
        elif kind == "array_value":
            self.items(list(value.array_value.values))
        elif kind == "kvlist_value":
            self.pairs(list(value.kvlist_value.values))

    def items(self, values: list[AnyValue]) -> None:
        texts = [value.string_value if value.HasField("string_value") else None for value in values]
        for what, value in zip(self.redactor.names_of_items(texts), values, strict=True):
            if what:
                self.hide(value, what)
            self.value(value)

    def pairs(self, pairs: list[KeyValue]) -> None:
        told = self.redactor.name_told_by({pair.key: pair.value.string_value for pair in pairs})
        for pair in pairs:
            if told and is_value_key(pair.key):
                self.hide(pair.value, told)
            self.message(pair)

    def texts(self, message: Message, name: str, value: Any, *, repeated: bool) -> None:
        if not repeated:
            cleaned = self.text(value)
            if cleaned != value:
                setattr(message, name, cleaned)
            return
        for place, text in enumerate(value):
            value[place] = self.text(text)

    def text(self, text: str) -> str:
        if not self._may_hide(text.encode()):
            return text
        self._left -= len(text)
        if len(text) > LONGEST_TEXT or self._left < 0:
            return self.redactor.mark("long-text", text)
        return self.redactor.text(text)
