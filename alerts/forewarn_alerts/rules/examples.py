"""
The tests inside a rule file: a call in a few words, and whether the rule must fire for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from forewarn.conventions import Effect, RecordKind, environment_name
from forewarn_alerts.errors import ExpressionFailed
from forewarn_alerts.record import CallRecord
from forewarn_alerts.rules.model import Example, On, Rule
from forewarn_collector.documents import Document, Fault, Where

_FIELDS: Final[dict[str, tuple[str, type]]] = {
    "tool": ("tool", str),
    "effect": ("effect", str),
    "effect_source": ("effect_source", str),
    "arguments": ("arguments", dict),
    "digest": ("digest", str),
    "id": ("call_id", str),
    "outcome": ("outcome", str),
    "duration_ms": ("ended_ns", int),
    "error_type": ("error_type", str),
    "agent": ("agent", str),
    "agent_path": ("agent_path", str),
    "environment": ("environment", str),
    "environment_claimed": ("environment_claimed", str),
    "service": ("service", str),
    "host": ("host", str),
    "key_id": ("key_id", str),
    "reasoning": ("reasoning", str),
    "resource": ("resource", dict),
    "attributes": ("attributes", dict),
}
"""Key of a case -> field of the record, and the type of its value."""
_ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an embedded test went."""

    example: Example
    passed: bool
    why: str


def run_examples(rule: Rule) -> list[Verdict]:
    return [_run(rule, example) for example in rule.tests]


def _run(rule: Rule, example: Example) -> Verdict:
    try:
        fired = rule.when.holds(example.call) and not example.ended
    except ExpressionFailed as error:
        return Verdict(example, passed=False, why=f"the condition failed: {error}")
    if fired == example.fires:
        return Verdict(example, passed=True, why="")
    return Verdict(
        example, passed=False, why="it fired and should be silent" if fired else "it was silent and should fire"
    )


def read_examples(document: Document, on: On) -> tuple[tuple[Example, ...], list[Fault]]:
    """The examples of a rule file that can be understood, and a fault for each part that cannot."""
    examples: list[Example] = []
    faults: list[Fault] = []
    tests = document.value.get("tests") if isinstance(document.value, dict) else None
    for i, entry in enumerate(tests if isinstance(tests, list) else []):
        if not isinstance(entry, dict):
            continue  # the shape check has said so
        named = [word for word in ("fires", "silent") if word in entry]
        if len(named) != 1:
            faults.append(document.fault(("tests", i), "a test is one of `fires` and `silent`", "write exactly one"))
            continue
        where: Where = ("tests", i, named[0])
        case = entry[named[0]]
        if isinstance(case, dict):
            found = list(_case_faults(document, where, case, on))
            faults += found
            if not found:
                line = document.nodes[where].start_mark.line + 1
                examples.append(_example(case, on, fires=named[0] == "fires", line=line))
    return tuple(examples), faults


def _case_faults(document: Document, where: Where, case: dict[str, Any], on: On) -> Iterator[Fault]:
    known = [*_FIELDS, _ENDED] if on is On.MISSING_END else list(_FIELDS)
    for name, value in case.items():
        place = (*where, name)
        if name not in known:
            near = get_close_matches(name, known, n=1)
            do = f"did you mean `{near[0]}`?" if near else f"known words: {', '.join(known)}"
            yield document.fault(place, f"`{name}` is not a word for a call", do, at_key=True)
            continue
        expected = bool if name == _ENDED else _FIELDS[name][1]
        if type(value) is not expected:
            yield document.fault(
                place, f"`{name}` cannot be {value!r}", f"write a value of type {_YAML_TYPES[expected]}"
            )
        elif name == "effect" and value not in {*Effect, ""}:
            yield document.fault(place, f"`effect` cannot be {value!r}", f"write one of {', '.join(Effect)}")


_YAML_TYPES: Final = {str: "text (in quotes)", dict: "map", int: "integer", bool: "true or false"}


def _example(case: dict[str, Any], on: On, *, fires: bool, line: int) -> Example:
    fields: dict[str, Any] = {_FIELDS[name][0]: value for name, value in case.items() if name != _ENDED}
    if "arguments" in fields:
        fields["arguments"] = msgspec.json.encode(fields["arguments"]).decode()
    if "ended_ns" in fields:
        fields["ended_ns"] *= 1_000_000
    for name in ("resource", "attributes"):
        fields[name] = {key: str(value) for key, value in fields.get(name, {}).items()}
    fields["environment_claimed"] = environment_name(fields.get("environment_claimed"))
    call = CallRecord(
        kind=RecordKind.END if on is On.END else RecordKind.START,
        trace_id="0" * 32,
        span_id="0" * 16,
        **{"tool": "example", **fields},
    )
    return Example(call, fires=fires, ended=bool(case.get(_ENDED)), line=line)
