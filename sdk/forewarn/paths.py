"""
Paths: which parts of one tool's arguments and result are always redacted, and which never are.

`payload.auth` is that value whole, `payload.rows.*.email` that field of every row. A path begins with the name of a
parameter, or with `return`, which no parameter can be called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Final

from forewarn.errors import ConfigurationError

RETURN: Final = "return"
ANY: Final = "*"


class Say(Enum):
    """What the tool's declaration says of one value."""

    REDACT = "redact"
    KEEP = "keep"
    NOTHING = "nothing"


class Paths:
    """What one tool's declaration says of the values of its calls."""

    def __init__(self, redact: Iterable[str] = (), keep: Iterable[str] = ()) -> None:
        self._said = [
            (tuple(path.split(".")), say)
            for say, paths in ((Say.REDACT, redact), (Say.KEEP, keep))
            for path in ([paths] if isinstance(paths, str) else paths)
        ]

    def __bool__(self) -> bool:
        return bool(self._said)

    def of(self, path: Sequence[str]) -> Say:
        """What is said of exactly this value; both said is redacted."""
        return next((say for pattern, say in self._said if _is_like(path, pattern)), Say.NOTHING)

    def check(self, parameters: Collection[str], tool: str) -> None:
        """Raise ConfigurationError for a path that no value of this tool can have."""
        known = {*parameters, RETURN, ANY}
        for pattern, _ in self._said:
            if pattern[0] not in known or "" in pattern:
                raise ConfigurationError(
                    f"The tool {tool} has no value at {'.'.join(pattern)!r}: a path begins with a parameter's name, "
                    f"or with {RETURN!r} for the result."
                )


NO_PATHS: Final = Paths()


def _is_like(path: Sequence[str], pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(part in {ANY, name} for name, part in zip(path, pattern, strict=True))
