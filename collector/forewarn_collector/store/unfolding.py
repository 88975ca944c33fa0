"""
The views that unfold requests into rows, made from the tables of dialects and the list of tools.

There are two, because each is analysed anew at every insert: one for what our own SDK sends, and one that knows every
dialect and takes twice as long to analyse. What is ours says `ours`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Final

from forewarn import conventions as names
from forewarn_collector.dialects.columns import (
    NUMBER_COLUMNS,
    OF_CALLS,
    OF_SPANS,
    RESOURCE_COLUMNS,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    VALUE_COLUMNS,
    conventional,
    kinds_of,
)
from forewarn_collector.dialects.table import OWN_SCOPE, SPAN_NAME_PREFIX, Dialect, Thoughts
from forewarn_collector.dialects.thoughts import MODEL_OPERATIONS
from forewarn_collector.store.quoting import quoted
from forewarn_collector.tools.tool_list import RANKED, ToolList

OWN_LANDING: Final = "landing"
LANDING: Final = "landing_of_dialects"

_COMPUTED: Final = ("operation", "tool", "reasoning", "effect", "effect_source")
"""Text columns that take more than a look at one attribute."""


def unfolding_views(dialects: Sequence[Dialect], tools: ToolList) -> dict[str, str]:
    """Name of each view -> the statement that creates it."""
    places = _columns() | _effects(tools) | _dialects(dialects)
    kinds = {
        "unfold_spans": (OWN_LANDING, "take_conventions.sql"),
        "unfold_spans_of_dialects": (LANDING, "translate_dialects.sql"),
    }
    return {
        view: _filled("unfold_spans.sql", places | {"view": view, "landing": landing, "said": _filled(said, places)})
        for view, (landing, said) in kinds.items()
    }


def _filled(template: str, places: Mapping[str, str]) -> str:
    return Template(files(__package__).joinpath(template).read_text(encoding="utf-8")).substitute(places)


def _columns() -> dict[str, str]:
    texts = {column: name for column, name in TEXT_COLUMNS.items() if column not in _COMPUTED}
    return {
        "texts": _each(texts, "said[{name}].string_value AS {column}"),
        "values": _each(VALUE_COLUMNS, "as_value(said[{name}]) AS {column}"),
        "numbers": _each(NUMBER_COLUMNS, "toUInt64(greatest(said[{name}].int_value, 0)) AS {column}"),
        "times": _each(TIME_COLUMNS, "as_time(toUInt64(greatest(said[{name}].int_value, 0))) AS {column}"),
        "resource_columns": _each(RESOURCE_COLUMNS, "told[{name}] AS {column}"),
        "lifted_texts": _list([names.RECORD, *TEXT_COLUMNS.values(), *VALUE_COLUMNS.values()]),
        "lifted_values": _list(VALUE_COLUMNS.values()),
        "lifted_numbers": _list([*NUMBER_COLUMNS.values(), *TIME_COLUMNS.values()]),
        "lifted_resource": _list(RESOURCE_COLUMNS.values()),
        "environment_name": names.DEPLOYMENT_ENVIRONMENT_NAME,
        "older_environment_name": names.DEPLOYMENT_ENVIRONMENT,
    }


def _effects(tools: ToolList) -> dict[str, str]:
    return {
        "tool_name": names.TOOL_NAME,
        "operation_name": names.OPERATION_NAME,
        "effect_name": names.EFFECT,
        "effect_source_name": names.EFFECT_SOURCE,
        "effect_names": _list([names.EFFECT, names.EFFECT_SOURCE]),
        "effects": _array(RANKED),
        "ranked": _array(RANKED.values()),
        "tool_list": names.EffectSource.TOOL_LIST,
        "undeclared": names.EffectSource.UNDECLARED,
        "listed": tools.sql(),
    }


def _dialects(dialects: Sequence[Dialect]) -> dict[str, str]:
    """A dialect is its number here, from 1 on; 0 is who speaks as the conventions do."""
    columns = {column: number for number, column in enumerate([*OF_CALLS, *OF_SPANS], 1)}
    aliases = {
        f"{number}{kind}{alias.name}": 100 * columns[alias.column] + preference
        for number, dialect in enumerate(dialects, 1)
        for preference, alias in enumerate(dialect.aliases, 1)
        for kind in kinds_of(alias.column)
    }
    pending = [number for number, dialect in enumerate(dialects, 1) if dialect.pending_parent]
    return {
        "dialect": _dialect_of(dialects),
        "operation": _operation(dialects),
        "reasoning_name": names.REASONING,
        "own_scope": OWN_SCOPE,
        "model_operations": _list(MODEL_OPERATIONS),
        "thoughts": ", ".join(_thoughts(dialect.thoughts) for dialect in dialects if dialect.thoughts),
        "span_prefix": SPAN_NAME_PREFIX,
        "after_prefix": str(len(SPAN_NAME_PREFIX) + 1),
        "aliases": _array(aliases),
        "alias_numbers": f"[{', '.join(map(str, aliases.values()))}]",
        "conventional": _array(map(conventional, columns)),
        "last_of_calls": str(100 * len(OF_CALLS) + 99),
        "pending_dialects": ", ".join(map(str, pending)),
        "pending_parent": _per_dialect([dialect.pending_parent for dialect in dialects]),
    }


def _dialect_of(dialects: Sequence[Dialect]) -> str:
    signs = [f"scope = {quoted(OWN_SCOPE)}, 0"]
    for number, dialect in enumerate(dialects, 1):
        signs += [f"has(keys, {quoted(name)}), {number}" for name in dialect.telltales]
        if dialect.name_prefix:
            signs.append(f"startsWith(span.name, {quoted(dialect.name_prefix)}), {number}")
    return f"multiIf({', '.join(signs)}, 0)"


def _operation(dialects: Sequence[Dialect]) -> str:
    """What the sender says, else what its dialect's own word for it means."""
    said = f"sent[{quoted(names.OPERATION_NAME)}].string_value"
    words = {
        f"{number}{word}": meant
        for number, dialect in enumerate(dialects, 1)
        for word, meant in dialect.operations.items()
    }
    named = ", ".join(str(number) for number, dialect in enumerate(dialects, 1) if not dialect.kind)
    word = f"if(dialect IN ({named}), span.name, sent[{_per_dialect([d.kind for d in dialects])}].string_value)"
    meant = f"transform(concat(toString(dialect), {word}), {_array(words)}, {_array(words.values())}, '')"
    return f"multiIf({said} != '', {said}, dialect = 0, '', {meant})"


def _thoughts(shape: Thoughts) -> str:
    """The texts of one shape as an array; of a span that is no answer, nothing is searched."""
    if shape.messages:
        text, kinds = f"sent[{quoted(shape.messages)}].string_value", _array(shape.kinds)
        messages = f"JSONExtractArrayRaw(if(answers AND multiSearchAny({text}, {kinds}), {text}, ''))"
        parts = f"arrayFlatten(arrayMap(m -> JSONExtractArrayRaw(m, 'parts'), {messages}))"
        thought = f"has({kinds}, JSONExtractString(p, 'type')) AND JSONType(p, 'content') = 'String'"
        return f"arrayMap(p -> JSONExtractString(p, 'content'), arrayFilter(p -> {thought}, {parts}))"
    named = f"startsWith(k, {quoted(shape.begins)}) AND endsWith(k, {quoted(shape.kind_ends)})"
    kinds = "if(answers, keys, []), if(answers, mapValues(sent).string_value, [])"
    found = f"arrayFilter((k, t) -> has({_array(shape.kinds)}, t) AND {named}, {kinds})"
    beside = f"replaceAll(k, {quoted(shape.kind_ends)}, {quoted(shape.text_ends)})"
    return f"arrayMap(k -> sent[{beside}].string_value, {found})"


def _per_dialect(texts: Iterable[str]) -> str:
    return f"arrayElement({_array(texts)}, dialect)"


def _each(columns: Mapping[str, str], form: str) -> str:
    return ",\n    ".join(form.format(name=quoted(name), column=column) for column, name in columns.items())


def _list(texts: Iterable[str]) -> str:
    return ", ".join(map(quoted, texts))


def _array(texts: Iterable[str]) -> str:
    return f"[{_list(texts)}]"
