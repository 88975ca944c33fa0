"""
tools.yaml into a `ToolList`, or every fault that is in it, each with its place.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from forewarn.conventions import Effect, environment_name
from forewarn_collector.documents import Document, Fault, Where, read_document
from forewarn_collector.tools.tool_list import Entry, ToolList

_KEYS: Final = ("name", "effect", "service", "environment")
_EMPTY: Final = "write `tools:` and a list of entries; see docs/senders.md"


class ToolFaults(Exception):
    """Every fault of the tool list. None of it was loaded."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))


def load_tools(path: Path) -> ToolList:
    """Read the file; raise `ToolFaults` with every fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ToolFaults([Fault(path, 1, 1, f"the file cannot be read: {error}", "name a UTF-8 text file")]) from error
    document = read_document(path, text, empty=_EMPTY)
    reading = _Reading(document)
    entries = reading.entries()
    if reading.faults:
        raise ToolFaults(reading.faults)
    return ToolList(tuple(entries))


class _Reading:
    """Gathers the faults of one file."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.faults = list(document.faults)

    def entries(self) -> list[Entry]:
        value = self._document.value
        if self.faults:
            return []
        if not isinstance(value, dict) or not isinstance(value.get("tools"), list):
            self._add((), "a tool list is a map with the key `tools`, a list", _EMPTY)
            return []
        for key in value.keys() - {"tools"}:
            self._add((key,), f"`{key}` is not a key of a tool list", "write `tools`", at_key=True)
        found = [self._entry(("tools", number), entry) for number, entry in enumerate(value["tools"])]
        return [entry for entry in found if entry is not None]

    def _entry(self, where: Where, value: object) -> Entry | None:
        if not isinstance(value, dict):
            self._add(where, "an entry is a map", "write `name:` and `effect:`")
            return None
        for key in value.keys() - set(_KEYS):
            near = get_close_matches(key, _KEYS, 1)
            do = f"write `{near[0]}`" if near else f"known keys: {', '.join(_KEYS)}"
            self._add((*where, key), f"`{key}` is not a key of an entry", do, at_key=True)
        effect = self._effect(where, value.get("effect"))
        tools = self._texts(where, "name", value, needed=True)
        services = self._texts(where, "service", value)
        environments = tuple(map(environment_name, self._texts(where, "environment", value)))
        if effect is None or not tools:
            return None
        line = self._document.nodes[where].start_mark.line + 1
        return Entry(tools=tools, effect=effect, services=services, environments=environments, line=line)

    def _effect(self, where: Where, value: object) -> Effect | None:
        if isinstance(value, str) and value in set(Effect):
            return Effect(value)
        near = get_close_matches(str(value), [*Effect], 1)
        do = f"write `{near[0]}`" if near else f"write one of {', '.join(Effect)}"
        message = "an entry needs `effect`" if value is None else f"`{value}` is not an effect"
        self._add((*where, "effect"), message, do)
        return None

    def _texts(self, where: Where, key: str, entry: dict[str, object], *, needed: bool = False) -> tuple[str, ...]:
        value = entry.get(key)
        if value is None and key not in entry:
            if needed:
                self._add(where, f"an entry needs `{key}`", "write the name of a tool, or a pattern such as `drop_*`")
            return ()
        texts = value if isinstance(value, list) else [value]
        for number, text in enumerate(texts):
            if not isinstance(text, str) or not text:
                place = (*where, key, number) if isinstance(value, list) else (*where, key)
                self._add(place, f"`{key}` holds something that is no text", "write it in quotes")
        if not texts:
            self._add((*where, key), f"`{key}` is an empty list", f"name at least one, or leave `{key}` out")
        return tuple(text for text in texts if isinstance(text, str))

    def _add(self, where: Where, message: str, do: str, *, at_key: bool = False) -> None:
        self.faults.append(self._document.fault(where, message, do, at_key=at_key))
