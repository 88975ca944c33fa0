"""
What a model thought before it answered, where the span of its answer tells: the Python side of `[thoughts]`.

Texts are taken in the order in which they stand. Of JSON that names a key twice the engine takes the first and this the
last; nobody writes such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from forewarn_collector.dialects.reading import text
from forewarn_collector.dialects.table import Thoughts, dialects

MODEL_OPERATIONS: Final = ("chat", "generate_content", "text_completion")
"""Operations of the conventions whose span is one answer of a model; an agent's span repeats what is in those."""
_SHAPES: Final = tuple(dialect.thoughts for dialect in dialects() if dialect.thoughts)


def thought(said: Mapping[str, AnyValue], operation: str) -> str:
    """All that a span says of it, one below the other; '' where it says nothing."""
    if operation not in MODEL_OPERATIONS:
        return ""
    return "\n".join(found for shape in _SHAPES for found in _texts(shape, said) if found)


def _texts(shape: Thoughts, said: Mapping[str, AnyValue]) -> Iterator[str]:
    if not shape.messages:
        yield from (text(said, _beside(name, shape)) for name in said if _says_so(said, name, shape))
    elif any(kind in text(said, shape.messages) for kind in shape.kinds):
        yield from _in_messages(text(said, shape.messages), shape.kinds)


def _says_so(said: Mapping[str, AnyValue], name: str, shape: Thoughts) -> bool:
    return name.startswith(shape.begins) and name.endswith(shape.kind_ends) and text(said, name) in shape.kinds


def _beside(name: str, shape: Thoughts) -> str:
    return name.replace(shape.kind_ends, shape.text_ends)


def _in_messages(document: str, kinds: tuple[str, ...]) -> Iterator[str]:
    try:
        messages = orjson.loads(document)
    except orjson.JSONDecodeError:
        return
    for message in _objects(messages):
        for part in _objects(message.get("parts")):
            if part.get("type") in kinds and isinstance(part.get("content"), str):
                yield part["content"]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
