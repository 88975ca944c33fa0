"""
The record as rules see it: every name that an expression, a `group_by` or a summary may use, with its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from forewarn.conventions import is_production
from forewarn_alerts.errors import ExpressionFailed
from forewarn_alerts.record import CallRecord

_INT64_MAX: Final = 2**63 - 1


class Kind(Enum):
    """Type of a variable."""

    TEXT = "string"
    NUMBER = "int"
    FLAG = "bool"
    TEXT_MAP = "map(string, string)"
    JSON_MAP = "map(string, dyn)"


@dataclass(frozen=True, slots=True)
class Variable:
    """One name: its type, its value for a call, and what it means."""

    kind: Kind
    value: Callable[[CallRecord], object]
    doc: str

    @property
    def is_scalar(self) -> bool:
        return self.kind in {Kind.TEXT, Kind.NUMBER, Kind.FLAG}


def arguments_of(call: CallRecord) -> dict[str, object]:
    """The call's arguments; `ExpressionFailed` when the record's text is not one JSON object."""
    if not call.arguments:
        return {}
    try:
        arguments = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError as error:
        raise ExpressionFailed("call.arguments of this record is not JSON") from error
    if not isinstance(arguments, dict):
        raise ExpressionFailed("call.arguments of this record is not a JSON object")
    return {name: _as_cel(value) for name, value in arguments.items()}


def _as_cel(value: object) -> object:
    """CEL's integers have 64 bits; JSON's have no bound."""
    if isinstance(value, dict):
        return {name: _as_cel(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_cel(item) for item in value]
    if isinstance(value, int) and not -_INT64_MAX <= value <= _INT64_MAX:
        return float(value)
    return value


def _text(value: Callable[[CallRecord], str], doc: str) -> Variable:
    return Variable(Kind.TEXT, value, doc)


VARIABLES: Final[dict[str, Variable]] = {
    "call.tool": _text(lambda call: call.tool, "name of the tool"),
    "call.effect": _text(
        lambda call: call.effect, "read, write, destructive or unknown; '' where the span does not say"
    ),
    "call.effect_source": _text(lambda call: call.effect_source, "where the effect was learned: declared, undeclared"),
    "call.arguments": Variable(
        Kind.JSON_MAP, arguments_of, "arguments by parameter name; ask has(call.arguments.x) first"
    ),
    "call.digest": _text(lambda call: call.digest, "names the exact call: tool, arguments, agent path, environment"),
    "call.id": _text(lambda call: call.call_id, "the model's id of the call"),
    "call.outcome": _text(lambda call: call.outcome, "ok, error, refused, cancelled, not_observed; '' on a start"),
    "call.duration_ms": Variable(Kind.NUMBER, lambda call: call.duration_ms, "how long the call took; 0 on a start"),
    "call.error_type": _text(lambda call: call.error_type, "class of the error it ended with"),
    "agent.name": _text(lambda call: call.agent, "the agent that calls"),
    "agent.path": _text(lambda call: call.agent_path, "outermost agent first: janitor > cleaner"),
    "environment": _text(lambda call: call.environment, "verified: what the ingest key stands for"),
    "environment_claimed": _text(
        lambda call: call.environment_claimed, "what the process says of itself; '' for nothing"
    ),
    "production": Variable(
        Kind.FLAG,
        lambda call: is_production(call.environment),
        "whether to be as strict as in production: true too when the environment is unknown, misspelt or absent",
    ),
    "service": _text(lambda call: call.service, "service.name"),
    "host": _text(lambda call: call.host, "host.name"),
    "key_id": _text(lambda call: call.key_id, "public id of the ingest key"),
    "reasoning": _text(lambda call: call.reasoning, "the reasoning that led to the call"),
    "resource": Variable(Kind.TEXT_MAP, lambda call: dict(call.resource), "resource attributes as text"),
    "attributes": Variable(Kind.TEXT_MAP, lambda call: dict(call.attributes), "span attributes as text"),
    "trace_id": _text(lambda call: call.trace_id, "32 hex digits"),
}


def values_of(call: CallRecord, names: Iterable[str]) -> dict[str, object]:
    return {name: VARIABLES[name].value(call) for name in names}


def known_values(environment: str, claimed: str, effect: str) -> dict[str, object]:
    """What is known of a call before its span is decoded; enough to tell that most rules cannot hit."""
    return {
        "call.effect": effect,
        "environment": environment,
        "environment_claimed": claimed,
        "production": is_production(environment),
    }
