"""Outcomes: how something ended, told from what came out of it."""

from __future__ import annotations

from typing import Final

from forewarn.conventions import Outcome
from forewarn.redaction import redact_text

LONGEST_MESSAGE: Final = 2_048
_UNREADABLE: Final = "(its text cannot be read)"


def outcome_of(error: BaseException | None) -> Outcome:
    """
    `ok`, `error`, or `cancelled` for what is no Exception.

    Those are a cancelled task, an abandoned generator, an interrupt, the end of the process.
    """
    if error is None:
        return Outcome.OK
    return Outcome.ERROR if isinstance(error, Exception) else Outcome.CANCELLED


def type_of_error(error: BaseException) -> str:
    """`TimeoutError`, `psycopg.OperationalError`: what `error.type` says."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message_of_error(error: BaseException) -> tuple[str, int]:
    """The error's text, redacted and cut, and how many credentials were in it."""
    try:
        text = str(error)
    # An exception's own __str__ may raise anything.
    except Exception:  # noqa: BLE001
        text = _UNREADABLE
    text, redacted = redact_text(text[: LONGEST_MESSAGE * 2])
    return text[:LONGEST_MESSAGE].encode("utf-8", "replace").decode(), redacted


def unread(error: BaseException) -> Exception:
    """A stand-in that is told as this error is, but runs no code of it for its text."""
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__str__": lambda _: _UNREADABLE}
    stand_in: Exception = type(kind.__name__, (Exception,), names)()
    return stand_in
