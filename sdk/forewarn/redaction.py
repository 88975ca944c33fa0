"""
Redaction: values under a telling name, and texts that look like a credential, leave the process only as marks.

A mark says what stood there and a keyed digest of it (`[redacted:password:3f9a1c20b7de]`), so that the same secret can
be followed through the records and nobody without the key can try guesses. Whoever asks first whether a text may be
dirty at all asks `suspicion`; here every text is looked through.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from forewarn.credentials import COMPILED, MARKED, Shape, name_of_secret
from forewarn.names import cut_text
from forewarn.suspicion import is_suspect

MARGIN: Final = 1_024
"""A text is cut this far behind its limit first, so that a credential across the limit is seen whole."""
EVERYTHING: Final = "all"
CUSTOM: Final = "custom"
"""What a mark says of a match of a pattern that the user added."""
_DEEPEST: Final = 64
"""Nobody's arguments; a deeper text is replaced whole."""
_MARK: Final = re.compile(MARKED)
_JSON_START: Final = re.compile(r"[{\[]\s{0,64}[\"{\[]")
_DECODER: Final = json.JSONDecoder()
_MOST_FAULTS: Final = 16
"""What looks like the start of JSON and is none is read to its end each time."""
_LABEL_KEYS: Final = frozenset({"name", "key", "header", "variable", "field", "param", "parameter"})
_VALUE_KEYS: Final = frozenset({"value", "values", "val"})
_LOGIN_OPTIONS: Final = frozenset({"-u", "--user"})
_LOGIN: Final = re.compile(r"(?!\d+:\d+$)[^\s:/]+:.")


@dataclass(frozen=True, slots=True)
class Rules:
    """What one process redacts, and the key of its marks."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    patterns: tuple[re.Pattern[str], ...] = ()
    """The user's own. The whole match goes, or only its group `secret`."""
    off: frozenset[str] = frozenset()
    """What is left alone, by the name that its mark would bear: `session`, `jwt`; or `all`."""

    @classmethod
    def of(cls, key: str, patterns: Iterable[str] = (), off: Iterable[str] = ()) -> Rules:
        """`key` is any secret of this process; without one the marks of no two processes can be compared."""
        compiled = tuple(re.compile(pattern) for pattern in patterns)
        if not key:
            return cls(patterns=compiled, off=frozenset(off))
        return cls(hmac.digest(key.encode(), b"forewarn redaction 1", "sha256"), compiled, frozenset(off))

    def with_key(self, key: bytes) -> Rules:
        return replace(self, key=key)

    def mark(self, what: str, secret: str) -> str:
        digest = hmac.digest(self.key, secret.encode("utf-8", "surrogatepass"), "sha256")
        return f"[redacted:{what}:{digest.hex()[:12]}]"


_rules = Rules()


def rules() -> Rules:
    """What this process redacts now."""
    return _rules


def use_rules(new: Rules) -> None:
    """One process has one set of rules, like one current runtime: `configure` sets it."""
    global _rules  # noqa: PLW0603  the one current set of rules
    _rules = new


class Redactor:
    """Replaces what must not leave the process, and counts."""

    __slots__ = ("_all_off", "_rules", "count")

    def __init__(self, rules: Rules | None = None) -> None:
        self.count = 0
        self._rules = rules or _rules
        self._all_off = EVERYTHING in self._rules.off

    def name(self, name: str) -> str:
        """What a value under this name is; '' if nothing to hide, or nothing that is hidden here."""
        what = name_of_secret(name)
        return "" if self._all_off or what in self._rules.off else what

    def mark(self, what: str, secret: str) -> str:
        """The mark for this secret, counted; a mark stands for itself already."""
        if _MARK.fullmatch(secret):
            return secret
        self.count += 1
        return self._rules.mark(what, secret)

    def text(self, text: str) -> str:
        """The text with a mark for each credential in it; what introduces it (`Bearer `, `user:`) is kept."""
        if self._all_off:
            return text
        if '"' in text:
            text = self._json(text)
        for shape, expression in COMPILED:
            if shape.what not in self._rules.off and any(map(text.__contains__, shape.markers)):
                text = self._replaced(text, shape, expression)
        for pattern in self._rules.patterns:
            between = _MARK.split(text)
            marks = [*_MARK.findall(text), ""]
            text = "".join(pattern.sub(self._custom, part) + mark for part, mark in zip(between, marks, strict=True))
        return text

    def tree(self, value: Any, depth: int = 0) -> Any:
        """A decoded JSON value, cleaned by the names in it and by what its texts look like."""
        if type(value) is str:
            return self.text(value)
        if depth > _DEEPEST and type(value) in {list, dict}:
            raise RecursionError
        if type(value) is list:
            names = self.names_of_items(value)
            return [self._under(name, item, depth) for name, item in zip(names, value, strict=True)]
        if type(value) is dict:
            told = self.name_told_by(value)
            return {
                self.text(name): self._under(self.name(name) or (told if is_value_key(name) else ""), item, depth)
                for name, item in value.items()
            }
        return value

    def name_told_by(self, fields: Mapping[str, object]) -> str:
        """Of `{"name": "Authorization", "value": ...}`: what the value is."""
        if not 2 <= len(fields) <= 8:
            return ""
        labels = (value for key, value in fields.items() if key.lower() in _LABEL_KEYS and isinstance(value, str))
        return next(filter(None, map(self.name, labels)), "")

    def names_of_items(self, items: Sequence[object]) -> list[str]:
        """What each item is, by the one before it: `("Authorization", ...)`, `["--password", ...]`; mostly ''."""
        if len(items) == 2:
            return ["", self.name(items[0]) or self.name_of_next(*items) if isinstance(items[0], str) else ""]
        return ["", *map(self.name_of_next, items, items[1:])][: len(items)]

    def name_of_next(self, option: object, value: object) -> str:
        """What the word behind a word of a command line is."""
        if not isinstance(option, str) or not option.startswith("-"):
            return ""
        if option in _LOGIN_OPTIONS:
            return "login" if isinstance(value, str) and _LOGIN.match(value) else ""
        return "" if isinstance(value, str) and value.startswith("-") else self.name(option)

    def _under(self, what: str, value: Any, depth: int) -> Any:
        if not what or not is_worth_hiding(value):
            return self.tree(value, depth + 1)
        return self.mark(what, value if isinstance(value, str) else _dumped(value))

    def _json(self, text: str) -> str:
        """The JSON within the text cleaned, be it the whole text or not; the rest as it is."""
        parts: list[str] = []
        done = at = faults = 0
        while (found := _JSON_START.search(text, at)) and faults < _MOST_FAULTS:
            start, before = found.start(), self.count
            try:
                value, at = _DECODER.raw_decode(text, start)
                cleaned = self.tree(value)
            except RecursionError:
                self.count = before
                return self.mark("deep", text)
            except ValueError:
                at, faults = start + 1, faults + 1
                continue
            if self.count > before:
                parts += text[done:start], _dumped(cleaned)
                done = at
        return "".join((*parts, text[done:])) if parts else text

    def _replaced(self, text: str, shape: Shape, expression: re.Pattern[str]) -> str:
        parts: list[str] = []
        done = at = 0
        while found := expression.search(text, at):
            what = shape.what or self.name(found["name"])
            start = found.end("keep") if "keep" in expression.groupindex else found.start()
            if what and start < found.end():
                parts += text[done:start], self.mark(what, text[start : found.end()])
                done = found.end()
            # Behind a name that is none, its value may hold another one.
            at = found.end() if what else start
        return "".join((*parts, text[done:])) if parts else text

    def _custom(self, found: re.Match[str]) -> str:
        start, end = found.span("secret" if "secret" in found.re.groupindex else 0)
        if start == end:
            return found[0]
        whole, offset = found[0], found.start()
        return whole[: start - offset] + self.mark(CUSTOM, found.string[start:end]) + whole[end - offset :]


def is_worth_hiding(value: object) -> bool:
    """Whether there is anything to hide: absence is no secret, nor is yes or no."""
    return value is not None and value != "" and not isinstance(value, bool)


def _dumped(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def is_value_key(name: str) -> bool:
    """Whether this is where `{"name": ..., "value": ...}` keeps its value."""
    return name.lower() in _VALUE_KEYS


def is_label_key(name: str) -> bool:
    """Whether this is where `{"name": ..., "value": ...}` keeps its name."""
    return name.lower() in _LABEL_KEYS


def redact_text(text: str) -> tuple[str, int]:
    """The text without credentials, and how many there were."""
    if not _rules.patterns and not is_suspect(text):
        return text, 0
    redactor = Redactor()
    return redactor.text(text), redactor.count


def redact_cut(text: str, limit: int) -> tuple[str, int]:
    """The same of as much of the text as the limit allows."""
    redacted, count = redact_text(text[: limit + MARGIN])
    if len(text) <= limit:
        return cut_text(redacted, len(redacted)), count
    return f"{cut_text(redacted[:limit], limit)}...[cut: {len(text)} characters]", count


def compilable(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns as they are; raises ValueError that names the first one that is none."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return patterns
