"""
Python values as JSON: never fails, never two different values alike (save those that RFC 8785 makes alike: a number
has one form there, so that 1 and 1.0 share a digest), never more than the caps.

What JSON has is itself; everything else is an object with one key that begins with `$` and says what it was:
`{"$bytes": "aGk="}`, `{"$float": "nan"}`, `{"$set": [...]}`, `{"$cycle": 1}`. A key of the user's own that begins with
`$` gets a second one, so that nobody can write a tag by hand. Such a tree is called *plain* here.

Arguments are encoded twice over: whole, as RFC 8785 has it, for the digest; and for the record, where what is too large
is cut and what is secret is replaced. For the ordinary call (a few scalars) both are one and the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
import rfc8785

from forewarn.paths import NO_PATHS, RETURN, Paths
from forewarn.redaction import rules
from forewarn.suspicion import is_suspect, is_suspect_json
from forewarn.values import LARGEST_SAFE_INT, RECORD, UNCUT, Limits, Plain, Walk

_JUST_JSON: Final = frozenset({str, bool, type(None)})
_JSON_WITH_INTS: Final = _JUST_JSON | {int}
_encode: Final = msgspec.json.Encoder().encode
_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


Encoded: TypeAlias = "tuple[str, int, int]"
"""A value for the record: JSON text, and how many values in it were redacted and cut."""
EncodedArguments: TypeAlias = "tuple[Encoded, bytes]"
"""The arguments of one call: for the record; and whole, in the canonical form that the digest is taken of."""


def encode_arguments(
    values: Mapping[str, object], *, ordinary_names: bool, paths: Paths = NO_PATHS, limits: Limits = RECORD
) -> EncodedArguments:
    """
    Encode the bound arguments now; what becomes of the values later changes nothing here.

    `ordinary_names`: the parameters' names are ASCII, none of them is a secret's, and there are no `paths` (known when
    the tool is declared). `paths`: what else the declaration says of the values.
    """
    if ordinary_names and _is_flat(values):
        try:
            text = _encode(values).decode()
            canonical = _encode_sorted(values)
        except UnicodeEncodeError:
            return _encode_walking(values, limits, paths)
        if len(text) <= limits.total and not (rules().patterns or is_suspect(_texts(values))):
            return (text, 0, 0), canonical
        return _for_record(dict(values), Walk(limits, redact=True, is_plain=True, paths=paths)), canonical
    return _encode_walking(values, limits, paths)


def _texts(values: Mapping[str, object]) -> str:
    """All texts, so that one look is enough; a line break ends whatever may be the name before a secret."""
    return "\n".join([value for value in values.values() if type(value) is str])


def encode_result(value: object, paths: Paths = NO_PATHS, limits: Limits = RECORD) -> Encoded:
    """Encode what a tool returned, looking at a large value only as far as the record goes."""
    kind = type(value)
    if value is None or kind is bool or (not paths and kind is int and -LARGEST_SAFE_INT <= value <= LARGEST_SAFE_INT):  # type: ignore[operator]
        return _encode(value).decode(), 0, 0
    walk = Walk(limits, redact=True, paths=paths)
    if not paths:
        return _for_record(value, walk)
    # A path may name the result itself.
    text = _encode(walk.fields([(RETURN, value)], size=1)[RETURN]).decode()
    return text, walk.redactor.count, walk.cut


def json_text(text: str) -> bytes:
    """One text as JSON, in the one form that RFC 8785 allows; a lone surrogate becomes a question mark."""
    return _encode(text.encode("utf-8", "replace").decode())


def _is_flat(values: Mapping[str, object]) -> bool:
    """Whether these are texts, truth values, nulls and safe integers: of these msgspec and RFC 8785 agree."""
    kinds = set(map(type, values.values()))
    if kinds <= _JUST_JSON:
        return True
    return kinds <= _JSON_WITH_INTS and all(
        -LARGEST_SAFE_INT <= value <= LARGEST_SAFE_INT for value in values.values() if type(value) is int
    )


def _encode_walking(values: Mapping[str, object], limits: Limits, paths: Paths) -> EncodedArguments:
    try:
        walk, plain, canonical = _whole(values)
    except RecursionError:
        # The caller's own stack leaves no room to look inside.
        walk, plain, canonical = _whole({name: Unseen(value) for name, value in values.items()})
    if not (walk.may_hide_secrets or paths or rules().patterns):
        text = _encode(plain).decode()
        if len(text) <= limits.total and not is_suspect_json(text):
            return (text, 0, walk.cut), canonical
    return _for_record(plain, Walk(limits, redact=True, is_plain=True, paths=paths)), canonical


def _whole(values: Mapping[str, object]) -> tuple[Walk, Plain, bytes]:
    walk = Walk(UNCUT)
    plain = walk.fields(values.items(), size=len(values))
    # msgspec writes floats otherwise than RFC 8785, and sorts names by code point instead of UTF-16 unit.
    canonical = rfc8785.dumps(plain) if walk.needs_rfc8785 else _encode_sorted(plain)
    return walk, plain, canonical


def _for_record(value: object, walk: Walk) -> Encoded:
    text = _encode(walk.value(value)).decode()
    return text, walk.redactor.count, walk.cut


class Unseen:
    """Stands for a value that could not be looked at, and runs no code of it: its type and its identity."""

    def __init__(self, value: object) -> None:
        self._text = f"{type(value).__name__} at {hex(id(value))}"

    def __repr__(self) -> str:
        return self._text
