"""Names and short texts as records carry them: valid Unicode, of bounded length."""

from __future__ import annotations

from typing import Final

LONGEST_NAME: Final = 200


def clean_name(name: object) -> str:
    """The name of a tool or agent."""
    return cut_text(str(name), LONGEST_NAME)


def cut_text(text: str, limit: int) -> str:
    """The text, or as much of it as the limit allows with a mark behind it."""
    text = text if len(text) <= limit else f"{text[:limit]}...[cut: {len(text)} characters]"
    return text.encode("utf-8", "replace").decode()
