"""
The columns of `spans` that are lifted from attributes, each with the name that the conventions give it.

A dialect is another name for one of these; where a span has the conventions' own name, that one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from forewarn import conventions as names

TEXT_COLUMNS: Final[Mapping[str, str]] = {
    "operation": names.OPERATION_NAME,
    "tool": names.TOOL_NAME,
    "tool_type": names.TOOL_TYPE,
    "call_id": names.TOOL_CALL_ID,
    "agent": names.AGENT_NAME,
    "agent_path": names.AGENT_PATH,
    "reasoning": names.REASONING,
    "reasoning_span_id": names.REASONING_SPAN_ID,
    "effect": names.EFFECT,
    "effect_source": names.EFFECT_SOURCE,
    "digest": names.CALL_DIGEST,
    "decision": names.DECISION,
    "outcome": names.OUTCOME,
    "error_type": names.ERROR_TYPE,
    "model": names.REQUEST_MODEL,
    "conversation_id": names.CONVERSATION_ID,
}
"""Lifted where the value is a string."""
VALUE_COLUMNS: Final[Mapping[str, str]] = {
    "arguments": names.TOOL_CALL_ARGUMENTS,
    "result": names.TOOL_CALL_RESULT,
}
"""Lifted where the value is a string, a list or a map; the latter two as the store writes such values."""
VALUE_KINDS: Final = frozenset({"string_value", "array_value", "kvlist_value"})
"""The same, as protobuf calls them."""
NUMBER_COLUMNS: Final[Mapping[str, str]] = {
    "sequence": names.SEQUENCE,
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
}
"""Lifted where the value is an integer and not negative."""
TIME_COLUMNS: Final[Mapping[str, str]] = {
    "tool_started_at": names.TOOL_STARTED_AT,
    "acknowledged_at": names.ACKNOWLEDGED_AT,
}
"""As numbers are, in Unix nanoseconds."""
RESOURCE_COLUMNS: Final[Mapping[str, str]] = {
    "service": names.SERVICE_NAME,
    "sender": names.SERVICE_INSTANCE_ID,
    "host": names.HOST_NAME,
}

OF_CALLS: Final = ("tool", "tool_type", "call_id", "arguments", "result")
"""Columns for which a dialect may have names of its own on calls of tools; `input.value` is no argument elsewhere."""
OF_SPANS: Final = ("agent", "reasoning", "model", "input_tokens", "output_tokens", "conversation_id", "error_type")
"""The same, on every span."""


def kinds_of(column: str) -> str:
    """The kinds of value that the column takes, in the letters of the engine's landing table."""
    if column in NUMBER_COLUMNS or column in TIME_COLUMNS:
        return "i"
    return "sak" if column in VALUE_COLUMNS else "s"


def conventional(column: str) -> str:
    """The conventions' name of what the column holds."""
    return {**TEXT_COLUMNS, **VALUE_COLUMNS, **NUMBER_COLUMNS, **TIME_COLUMNS}[column]
