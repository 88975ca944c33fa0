"""
YAML that remembers where each value stands, so that a fault can point at it.

What surprises: keys are taken as text. YAML 1.1 reads a bare `on` as true, and `on:` is one of our keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

Where = tuple[str | int, ...]
"""A path into a document: keys and indexes."""

_WHOLE: Final[Where] = ()


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault of a file, and what to do about it; line and column count from 1."""

    path: Path
    line: int
    column: int
    message: str
    do: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}; {self.do}"


@dataclass
class Document:
    """One YAML file as plain values, the node behind each value, and what was wrong with the YAML itself."""

    path: Path
    text: str
    value: object = None
    nodes: dict[Where, yaml.Node] = field(default_factory=dict)
    keys: dict[Where, yaml.Node] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, where: Where, message: str, do: str, *, at_key: bool = False) -> Fault:
        """A fault at a value (or its key); at the nearest value above it where there is none."""
        while where not in self.nodes and where:
            where = where[:-1]
        node = self.keys.get(where) if at_key else self.nodes.get(where)
        mark = node.start_mark if node is not None else None
        return Fault(self.path, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, message, do)

    def fault_within(self, where: Where, at: tuple[int, int], message: str, do: str) -> Fault:
        """A fault inside a text value, given its line and column in that text, however YAML wrote it down."""
        line, column = at
        node = self.nodes[where]
        assert isinstance(node, yaml.ScalarNode)
        value = str(node.value)
        before = value.split("\n")[: line - 1]
        target = sum(len(part) + 1 for part in before) + column - 1
        index = _source_index(self.text, node, value, target)
        start = self.text.rfind("\n", 0, index) + 1
        return Fault(self.path, self.text.count("\n", 0, index) + 1, index - start + 1, message, do)


def read_document(path: Path, text: str, *, empty: str) -> Document:
    """Read one YAML document; broken YAML gives no value and a fault. `empty` says what to do about an empty file."""
    document = Document(path, text)
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            document.faults.append(Fault(path, 1, 1, "the file is empty", empty))
        else:
            document.value = _Builder(document, loader).build(root, _WHOLE, ())
    except yaml.YAMLError as error:
        document.faults.append(_yaml_fault(path, error))
    finally:
        loader.dispose()
    return document


def _yaml_fault(path: Path, error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Fault(
        path, line, column, f"this is not YAML: {problem}", "mend the syntax; quote text that holds : # { or ["
    )


@dataclass
class _Builder:
    document: Document
    loader: yaml.SafeLoader

    def build(self, node: yaml.Node, where: Where, above: tuple[int, ...]) -> object:
        self.document.nodes[where] = node
        if id(node) in above:
            fault = self.document.fault(where, "an alias that contains itself", "write the value out")
            self.document.faults.append(fault)
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where, (*above, id(node)))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*where, i), (*above, id(node))) for i, item in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, where: Where, above: tuple[int, ...]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in node.value:
            name = str(key.value)
            place = (*where, name)
            if name in found:
                first = self.document.keys[place].start_mark.line + 1
                mark = key.start_mark
                fault = Fault(
                    self.document.path,
                    mark.line + 1,
                    mark.column + 1,
                    f"`{name}` is written twice (first on line {first})",
                    "keep one of them",
                )
                self.document.faults.append(fault)
                continue
            self.document.keys[place] = key
            found[name] = self.build(value, place, above)
        return found


def _source_index(text: str, node: yaml.ScalarNode, value: str, target: int) -> int:
    """
    Where in the file the `target`-th character of a scalar stands.

    YAML folds, indents and escapes, but keeps every character that is not white space, in order; so the value and its
    source are walked side by side.
    """
    index = node.start_mark.index
    if node.style in {"|", ">"}:
        index = text.find("\n", index) + 1
    elif node.style in {'"', "'"}:
        index += 1
    end = node.end_mark.index
    last = index
    for character in value[:target]:
        if character.isspace():
            continue
        while index < end and text[index] != character:
            index += 1
        index += 1
        last = index
    if target >= len(value):
        return min(last, end)
    while index < end and not value[target].isspace() and text[index] != value[target]:
        index += 1
    return index
