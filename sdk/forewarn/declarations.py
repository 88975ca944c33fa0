"""Declarations: what is known of a tool before it is ever called, encoded once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from forewarn.binding import Binder, compile_binder, receiver_of
from forewarn.conventions import (
    EFFECT,
    EFFECT_SOURCE,
    OPERATION_EXECUTE_TOOL,
    OPERATION_NAME,
    TOOL_NAME,
    TOOL_TYPE,
    Effect,
    EffectSource,
)
from forewarn.credentials import name_of_secret
from forewarn.encoding import json_text
from forewarn.errors import ConfigurationError
from forewarn.names import clean_name
from forewarn.paths import NO_PATHS, Paths
from forewarn.recording.records import template
from forewarn.redaction import is_label_key, is_value_key


class Declaration:
    """One tool: its function, its declared effect, and everything of its records that no call changes."""

    __slots__ = (
        "attributes",
        "bind",
        "digest_suffix",
        "effect",
        "function",
        "name",
        "ordinary_names",
        "paths",
        "receiver",
        "signature",
        "span_attributes",
        "span_name",
        "template",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        effect: str | None,
        name: str | None,
        *,
        paths: Paths = NO_PATHS,
        is_classmethod: bool = False,
    ) -> None:
        self.function = function
        self.name = clean_name(name or getattr(function, "__name__", "") or type(function).__name__)
        self.effect, source = _effect(effect, self.name)
        self.attributes: dict[str, str | int] = {
            OPERATION_NAME: OPERATION_EXECUTE_TOOL,
            TOOL_NAME: self.name,
            TOOL_TYPE: "function",
            EFFECT: self.effect.value,
            EFFECT_SOURCE: source.value,
        }
        # What does not vary, or only our own readers ask for, is not worth its price on the application's span.
        self.span_attributes = {k: v for k, v in self.attributes.items() if k not in {TOOL_TYPE, EFFECT_SOURCE}}
        self.span_name = f"{OPERATION_EXECUTE_TOOL} {self.name}"
        self.template = template(self.span_name, self.attributes)
        self.digest_suffix = json_text(self.name) + b"}"
        self.signature = signature = _signature(function, self.name)
        first = next(iter(signature.parameters), None)
        self.receiver = receiver = first if is_classmethod else receiver_of(function, signature)
        self.bind: Binder = compile_binder(function, signature, receiver)
        parameters = [name for name in signature.parameters if name != receiver]
        self.ordinary_names = all(map(_is_ordinary, parameters)) and not (_is_pair(parameters) or paths)
        self.paths = paths
        paths.check(parameters, self.name)


def _is_ordinary(parameter: str) -> bool:
    return parameter.isascii() and not name_of_secret(parameter)


def _is_pair(parameters: list[str]) -> bool:
    """Whether one parameter may name what another one holds: `set_header(name, value)`."""
    return any(map(is_label_key, parameters)) and any(map(is_value_key, parameters))


def _effect(declared: str | None, tool: str) -> tuple[Effect, EffectSource]:
    if declared is None:
        return Effect.UNKNOWN, EffectSource.UNDECLARED
    try:
        return Effect(declared), EffectSource.DECLARED
    except ValueError:
        known = ", ".join(Effect)
        raise ConfigurationError(
            f"The tool {tool} declares the effect {declared!r}; it must be one of {known}."
        ) from None


def _signature(function: Callable[..., Any], tool: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"forewarn.tool cannot tell the parameters of {tool}: {error}. Wrap it in a function that names them."
        ) from error
