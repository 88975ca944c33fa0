"""
Any Python value as a plain tree: what JSON can hold, with `$` tags for the rest (see `encoding`).

One walk serves three ends: whole, for the digest; cut to limits, for what a tool returned; and once more over a plain
tree, to cut and redact the arguments for the record. It runs the user's code (`__repr__`, properties, iteration of
odd mappings), so whatever that raises ends here as a tag of its own.

An object of a kind not known here is its type and its `repr`: two that print alike are alike.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
import math
import pathlib
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from pydantic import BaseModel

from forewarn.paths import NO_PATHS, Paths, Say
from forewarn.redaction import CUSTOM, MARGIN, Redactor, is_value_key, is_worth_hiding, rules
from forewarn.suspicion import is_suspect

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

LARGEST_SAFE_INT: Final = 2**53 - 1
"""Beyond it RFC 8785 has no integers: a reader in JavaScript would see another number."""
_LONGEST_DECIMAL_BITS: Final = 8192
"""Python refuses to print integers of more than 4300 digits in decimal; in hexadecimal it does not."""

_LONGEST_NAME: Final = 200

_sort_key: Final = msgspec.json.Encoder(order="deterministic").encode


class Limits(NamedTuple):
    """How much of a value is kept: bytes of JSON in all, characters of a text, items of a container, levels."""

    total: int
    text: int
    items: int
    depth: int


RECORD: Final = Limits(total=32_768, text=4_096, items=200, depth=16)
"""What a record keeps of the arguments, and of the result."""
UNCUT: Final = Limits(total=2**62, text=2**62, items=2**62, depth=64)
"""The whole, for the digest. Deeper than this, containers count by identity, so that no two of them are alike."""


class Walk:
    """One walk over one value. Afterwards: what was cut, redacted, and whether RFC 8785 needs its own encoder."""

    def __init__(
        self,
        limits: Limits,
        *,
        redact: bool = False,
        is_plain: bool = False,
        paths: Paths = NO_PATHS,
    ) -> None:
        self.cut = 0
        self.redactor = Redactor()
        self._has_patterns = bool(rules().patterns)
        self._paths = paths
        self._path: list[str] = []
        self.may_hide_secrets = False
        self.needs_rfc8785 = False
        self._limits = limits
        self._left = limits.total
        self._redact = redact
        self._is_plain = is_plain
        self._open: dict[int, int] = {}

    def value(self, value: object, depth: int = 0) -> Plain:
        kind = type(value)
        if kind is str:
            return self._text(value)  # type: ignore[arg-type]
        if value is None or kind is bool:
            self._left -= 5
            return value  # type: ignore[return-value]
        if kind is int:
            return self._int(value)  # type: ignore[arg-type]
        if kind is float:
            return self._float(value)  # type: ignore[arg-type]
        return self._nested(value, depth)

    def fields(self, fields: Iterable[tuple[str, object]], depth: int = 0, *, size: int) -> dict[str, Plain]:
        """Named values: arguments, fields of a dataclass, a dict with text keys."""
        plain: dict[str, Plain] = {}
        kept = list(islice(fields, self._limits.items))
        told = self.redactor.name_told_by(dict(kept))
        for name, value in kept:
            if self._left <= 0:
                break
            self._left -= len(name) + 4
            what = self.redactor.name(name) or (told if told and is_value_key(name) else "")
            plain[self._name(name)] = self._at(name, what, value, depth)
        if len(plain) < size:
            self.cut += 1
            plain["$cut"] = f"{size - len(plain)} of {size} names"
        return plain

    def _at(self, name: str, what: str, value: object, depth: int) -> Plain:
        """The value at this name or place, as the tool's paths have it, else by `what` it is."""
        if not self._paths or self._is_tag(name):
            return self._under(what, value, depth)
        self._path.append(name.removeprefix("$") if self._is_plain else name)
        redact, say = self._redact, self._paths.of(self._path)
        if say is Say.KEEP:
            self._redact = False
        elif say is Say.REDACT:
            what = CUSTOM
        try:
            return self._under(what, value, depth)
        finally:
            self._redact = redact
            self._path.pop()

    def _is_tag(self, name: str) -> bool:
        """Whether this name is of the plain form, not of the value."""
        return self._is_plain and (name == "fields" or (name.startswith("$") and not name.startswith("$$")))

    def _under(self, what: str, value: object, depth: int) -> Plain:
        if what:
            self.may_hide_secrets = True
            if self._redact and is_worth_hiding(value):
                return self.redactor.mark(what, self._secret(value))
        return self.value(value, depth + 1)

    def _secret(self, value: object) -> str:
        value = _plain_bytes(value)
        if isinstance(value, bytes):
            return value.decode("latin-1")
        plain = value if self._is_plain else Walk(RECORD).value(value)
        return plain if isinstance(plain, str) else _sort_key(plain).decode()

    def _name(self, name: str) -> str:
        if not name.isascii():
            self.needs_rfc8785 = True
            name = name.encode("utf-8", "backslashreplace").decode()
        name = self._clean(name)
        if len(name) > self._limits.text:
            self.cut += 1
            name = f"{name[: self._limits.text]}...[cut]"
        return f"${name}" if name.startswith("$") and not self._is_plain else name

    def _text(self, text: str) -> Plain:
        length, limit = len(text), min(self._limits.text, max(self._left, 0))
        if length > limit:
            text = text[: limit + MARGIN]
        text = self._clean(text)
        if length > limit:
            self.cut += 1
            text = f"{text[:limit]}...[cut: {length} characters]"
        try:
            self._left -= len(text.encode())
        except UnicodeEncodeError:
            self._left -= 2 * len(text)
            return {"$text": text.encode("unicode_escape").decode("ascii")}
        return text

    def _clean(self, text: str) -> str:
        is_dirty = self._redact and (self._has_patterns or is_suspect(text))
        return self.redactor.text(text) if is_dirty else text

    def _int(self, value: int) -> Plain:
        self._left -= 8
        if -LARGEST_SAFE_INT <= value <= LARGEST_SAFE_INT:
            return value
        digits = str(value) if value.bit_length() < _LONGEST_DECIMAL_BITS else hex(value)
        return {"$int": self._text(digits)}

    def _float(self, value: float) -> Plain:
        self._left -= 8
        if math.isfinite(value):
            self.needs_rfc8785 = True
            return value
        return {"$float": str(value)}

    def _nested(self, value: object, depth: int) -> Plain:
        if depth >= self._limits.depth:
            self.cut += 1
            return {"$deeper": _type_name(value), "id": hex(id(value))}
        if id(value) in self._open:
            return {"$cycle": depth - self._open[id(value)]}
        self._open[id(value)] = depth
        try:
            return self._container(value, depth)
        # The user's own code may raise anything, and a value that cannot be read is no reason to fail a call.
        # Beyond Exception it passes (see `calls`): nobody can tell a real Ctrl-C or SIGTERM from one made in __repr__.
        except Exception as error:  # noqa: BLE001
            return {"$object": _type_name(value), "id": hex(id(value)), "unreadable": type(error).__name__}
        finally:
            del self._open[id(value)]

    def _container(self, value: Any, depth: int) -> Plain:
        self._left -= 2
        for kinds, plain_form in _FORMS:
            if isinstance(value, kinds):
                return plain_form(self, value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return self._typed(value, [(name, getattr(value, name, "$unset")) for name in names], depth)
        return self._object(value)

    def _typed(self, value: object, fields: Collection[tuple[str, object]], depth: int) -> Plain:
        return {"$type": _type_name(value), "fields": self.fields(fields, depth, size=len(fields))}

    def _mapping(self, value: Mapping[object, object], depth: int) -> Plain:
        if self._is_plain and "$bytes" in value:
            return self._bytes(base64.b64decode(value["$bytes"]), depth)  # type: ignore[arg-type]
        entries = list(value.items())
        if all(type(key) is str for key, _ in entries):
            return self.fields(entries, depth, size=len(entries))  # type: ignore[arg-type]
        pairs = [
            [self.value(key, depth + 1), self._at(name := _text_of_name(key), self.redactor.name(name), item, depth)]
            for key, item in self._items(entries)
        ]
        return self._tagged("$map", sorted(pairs, key=_sort_key), len(entries))

    def _list(self, value: list[object], depth: int) -> Plain:
        kept = self._sequence(value, depth)
        if len(kept) < len(value):
            self.cut += 1
            kept.append({"$cut": f"{len(value) - len(kept)} of {len(value)} items"})
        return kept

    def _tuple(self, value: tuple[object, ...], depth: int) -> Plain:
        if hasattr(value, "_fields"):
            return self._typed(value, list(zip(value._fields, value, strict=True)), depth)
        return self._tagged("$tuple", self._sequence(value, depth), len(value))

    def _sequence(self, value: list[object] | tuple[object, ...], depth: int) -> list[Plain]:
        items = list(value)
        kept: list[Plain] = []
        before: object = None
        # Headers are often pairs of a name and its value.
        is_pair = len(items) == 2
        for place, item in enumerate(self._items(items)):
            what = self.redactor.name(_text_of_name(before)) if is_pair and place else ""
            if type(before) is str and before.startswith("-"):
                what = self.redactor.name_of_next(before, item)
            kept.append(self._at(str(place), what, item, depth))
            before = item
        return kept

    def _set(self, value: Collection[object], depth: int) -> Plain:
        kept = [self.value(item, depth + 1) for item in self._items(list(value))]
        return self._tagged("$set", sorted(kept, key=_sort_key), len(value))

    def _items(self, items: Iterable[Any]) -> Iterable[Any]:
        for item in islice(items, self._limits.items):
            if self._left <= 0:
                return
            yield item

    def _tagged(self, tag: str, kept: list[Any], size: int) -> Plain:
        if len(kept) == size:
            return {tag: kept}
        self.cut += 1
        return {tag: kept, "$cut": f"{size - len(kept)} of {size} items"}

    def _bytes(self, value: bytes | bytearray, _depth: int) -> Plain:
        limit = min(self._limits.text, max(self._left, 0))
        kept = bytes(value[: limit + MARGIN])
        # Base64 hides a credential from whoever looks at the encoded text.
        self.may_hide_secrets = True
        kept = self._clean(kept.decode("latin-1")).encode("latin-1")
        kept = kept[:limit]
        self._left -= len(kept) * 4 // 3
        plain: dict[str, Plain] = {"$bytes": base64.b64encode(kept).decode()}
        if len(value) > limit:
            self.cut += 1
            plain["$cut"] = f"{len(value) - limit} of {len(value)} bytes"
        return plain

    def _model(self, value: BaseModel, depth: int) -> Plain:
        return self._typed(value, list({**value.__dict__, **(value.__pydantic_extra__ or {})}.items()), depth)

    def _object(self, value: object) -> Plain:
        try:
            view = memoryview(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, BufferError):
            return {"$object": _type_name(value), "repr": self._text(repr(value))}
        # An array prints only its corners; its content is what two of them differ in.
        content = hashlib.sha256(view.tobytes()).hexdigest()
        return {"$array": _type_name(value), "format": view.format, "shape": list(view.shape or ()), "sha256": content}


def _scalar(tag: str, text: Callable[[Any], str]) -> Callable[[Walk, Any, int], Plain]:
    return lambda walk, value, _depth: {tag: walk._text(text(value))}  # noqa: SLF001  a form is a part of the walk


def _text_of_name(name: object) -> str:
    """A name in a pair: a text, or bytes, as they are or in their plain form; '' for what is no name."""
    name = _plain_bytes(name)
    if isinstance(name, bytes):
        name = name[: _LONGEST_NAME + 1].decode("latin-1")
    return name if isinstance(name, str) else ""


def _plain_bytes(value: object) -> object:
    """The bytes that a plain form stands for; all else, an application's own `$bytes` too, as it is."""
    text = value.get("$bytes") if type(value) is dict else None
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else value
    except ValueError:
        return value


def _enum_name(value: enum.Enum) -> str:
    return f"{_type_name(value)}.{value.name or repr(value.value)}"


def _type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


_FORMS: Final[tuple[tuple[type | tuple[type, ...], Callable[[Walk, Any, int], Plain]], ...]] = (
    (enum.Enum, _scalar("$enum", _enum_name)),
    (str, lambda walk, value, _depth: walk._text(str.__str__(value))),  # noqa: SLF001
    (int, lambda walk, value, _depth: walk._int(int.__int__(value))),  # noqa: SLF001
    (float, lambda walk, value, _depth: walk._float(float.__float__(value))),  # noqa: SLF001
    (list, Walk._list),  # noqa: SLF001
    (Mapping, Walk._mapping),  # noqa: SLF001
    (tuple, Walk._tuple),  # noqa: SLF001
    ((set, frozenset), Walk._set),  # noqa: SLF001
    ((bytes, bytearray), Walk._bytes),  # noqa: SLF001
    (BaseModel, Walk._model),  # noqa: SLF001
    (dt.datetime, _scalar("$datetime", dt.datetime.isoformat)),
    (dt.date, _scalar("$date", dt.date.isoformat)),
    (dt.time, _scalar("$time", dt.time.isoformat)),
    (dt.timedelta, _scalar("$timedelta", str)),
    (decimal.Decimal, _scalar("$decimal", str)),
    (uuid.UUID, _scalar("$uuid", str)),
    (pathlib.PurePath, _scalar("$path", str)),
    (complex, _scalar("$complex", repr)),
)
