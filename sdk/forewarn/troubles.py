"""Troubles: what the log says of an error that ends with us."""

from __future__ import annotations

import traceback


def told(error: Exception) -> str:
    """
    The error with its traceback, and without what it came in the middle of.

    That is often the tool's own error, whose text may hold what nobody has redacted.
    """
    return "".join(traceback.format_exception(error, chain=False)).rstrip()
