"""
Encoding: never fails, never two different values alike, never more than the caps.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import time
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pydantic
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from forewarn.credentials import MARKED
from forewarn.encoding import encode_arguments, encode_result
from forewarn.values import RECORD, UNCUT, Walk

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=40)
odd_text = st.text(st.characters(exclude_categories=()), max_size=20)
keys = st.text(max_size=6) | st.sampled_from(["$bytes", "$set", "$", "$$x", "\U00010000", "\uffff", "password"])
hashable = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
values = st.recursive(
    scalars | odd_text,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal to a tool: type by type, NaN like NaN."""
    if isinstance(one, float) and isinstance(other, (float, int)) and not isinstance(other, bool):
        return (math.isnan(one) and math.isnan(other)) or one == other
    if isinstance(one, int) and isinstance(other, float) and not isinstance(one, bool):
        return one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        left, right = sorted(one.items(), key=repr), sorted(other.items(), key=repr)
        return len(one) == len(other) and all(
            same(a, c) and same(b, d) for (a, b), (c, d) in zip(left, right, strict=True)
        )
    if isinstance(one, set):
        return len(one) == len(other) and {(type(item), item) for item in one} == {(type(item), item) for item in other}
    return bool(one == other)


@given(st.dictionaries(st.sampled_from(["table", "limit", "where", "deep"]), values))
def test_the_canonical_form_is_rfc_8785(arguments: dict[str, Any]) -> None:
    """
    The fast way and the slow one agree with the reference implementation, byte for byte.
    """
    (text, _, _), canonical = encode_arguments(arguments, ordinary_names=True)

    plain = Walk(UNCUT).fields(arguments.items(), size=len(arguments))
    assert canonical == rfc8785.dumps(plain)
    json.loads(text)


@given(values, values)
@example(({"$bytes": 0.5}, 1), ({"$bytes": 0.5}, 1))
@example(({"$bytes": "?"}, 1), ({"$bytes": "?"}, 1))
def test_different_values_are_different(one: Any, other: Any) -> None:
    """
    Two values have the same canonical form only if they are the same to a tool.
    """
    forms = [encode_arguments({"a": value}, ordinary_names=True)[1] for value in (one, other)]

    assert (forms[0] == forms[1]) == same(one, other)


@given(values)
def test_a_record_is_bounded_json(value: Any) -> None:
    """
    Whatever it is: one JSON text without a raw line end, not much larger than the cap.
    """
    text, _, _ = encode_result({"a": value, "b": [value] * 50})

    json.loads(text)
    assert len(text) <= RECORD.total * 2
    assert "\n" not in text


class Colour(enum.Enum):
    RED = 1


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    api_key: str = "k"


@dataclasses.dataclass
class Row:
    number: int
    token: str = "t"


Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024  what is tested is the old form


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class BadMapping(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no items")


HERE = f"{__name__}."
READABLE: list[tuple[str, Any, Any]] = [
    ("nan", math.nan, {"$float": "nan"}),
    ("infinity", -math.inf, {"$float": "-inf"}),
    ("bytes", b"hi", {"$bytes": "aGk="}),
    ("bytearray", bytearray(b"hi"), {"$bytes": "aGk="}),
    ("set", {3, 1}, {"$set": [1, 3]}),
    ("tuple", (1, 2), {"$tuple": [1, 2]}),
    ("keys that are no text", {1: "a", None: "b"}, {"$map": [[1, "a"], [None, "b"]]}),
    ("a tag written by hand", {"$bytes": "aGk="}, {"$$bytes": "aGk="}),
    ("a huge integer", 2**80, {"$int": str(2**80)}),
    ("an integer beyond printing", 1 << 9_000, {"$int": hex(1 << 9_000)}),
    ("a lone surrogate", "a\ud800", {"$text": "a\\ud800"}),
    ("enum", Colour.RED, {"$enum": f"{HERE}Colour.RED"}),
    ("datetime", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), {"$datetime": "2026-01-02T00:00:00+00:00"}),
    ("date", dt.date(2026, 1, 2), {"$date": "2026-01-02"}),
    ("timedelta", dt.timedelta(days=90), {"$timedelta": "90 days, 0:00:00"}),
    ("decimal", decimal.Decimal("1.50"), {"$decimal": "1.50"}),
    ("uuid", uuid.UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
    ("path", PurePosixPath("/srv"), {"$path": "/srv"}),
    ("complex", 1j, {"$complex": "1j"}),
    ("named tuple", Point(1, 2), {"$type": f"{HERE}Point", "fields": {"x": 1, "y": 2}}),
    ("dataclass", Row(1), {"$type": f"{HERE}Row", "fields": {"number": 1, "token": "[redacted]"}}),
    (
        "pydantic",
        Model(name="n", more=1),  # type: ignore[call-arg]
        {"$type": f"{HERE}Model", "fields": {"name": "n", "api_key": "[redacted]", "more": 1}},
    ),
    ("ordered dict", OrderedDict(a=1), {"a": 1}),
    ("mapping", MappingProxyType({"a": 1}), {"a": 1}),
    ("a class", Row, {"$object": "builtins.type", "repr": repr(Row)}),
]


@pytest.mark.parametrize(("value", "plain"), [case[1:] for case in READABLE], ids=[case[0] for case in READABLE])
def test_what_json_has_not(value: Any, plain: Any) -> None:
    """
    Every other value is an object whose tag says what it was.
    """
    result, (arguments, *_) = encode_result([value])[0], encode_arguments({"v": [value]}, ordinary_names=True)[0]

    assert json.loads(re.sub(MARKED, "[redacted]", result)) == [plain]
    assert json.loads(re.sub(MARKED, "[redacted]", arguments)) == {"v": [plain]}


def test_values_that_fail_are_named() -> None:
    """
    An object whose own code raises is on record by its type, and nothing else fails.
    """
    text = encode_arguments({"a": Unprintable(), "b": BadMapping(x=1), "c": 1}, ordinary_names=True)[0][0]

    plain = json.loads(text)
    assert plain["a"].items() >= {"$object": f"{HERE}Unprintable", "unreadable": "RuntimeError"}.items()
    assert plain["b"].items() >= {"$object": f"{HERE}BadMapping", "unreadable": "RuntimeError"}.items()
    assert plain["c"] == 1


def test_a_number_has_one_canonical_form() -> None:
    """
    RFC 8785 knows numbers, not Python's types: 1 and 1.0 share a digest, and the record keeps what was passed.
    """
    (one, canonical), (other, canonical_of_other) = (
        encode_arguments({"a": value}, ordinary_names=True) for value in (1, 1.0)
    )

    assert canonical == canonical_of_other
    assert (one[0], other[0]) == ('{"a":1}', '{"a":1.0}')


def test_arrays_differ_by_content() -> None:
    """
    A buffer whose print shows only its corners is told apart by its bytes.
    """
    from array import array

    one, other = array("d", range(10_000)), array("d", range(10_000))
    other[5_000] = -1.0
    forms = [encode_arguments({"a": value}, ordinary_names=True)[1] for value in (one, other)]

    assert forms[0] != forms[1]


def test_cycles_end() -> None:
    """
    A value that contains itself is a mark that says how far up it goes.
    """
    rows: list[Any] = [1]
    rows.append({"self": rows})

    assert json.loads(encode_result(rows)[0]) == [1, {"self": {"$cycle": 2}}]
    json.loads(encode_arguments({"rows": rows}, ordinary_names=True)[0][0])


def test_no_depth_is_too_deep() -> None:
    """
    Nesting beyond any reader's patience, and beyond Python's stack, is cut.
    """
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    assert "$deeper" in encode_result(deep)[0]
    assert "$deeper" in encode_arguments({"deep": deep}, ordinary_names=True)[0][0]
    while deep:
        deep = deep[0]


def test_hardly_any_stack_left() -> None:
    """
    Called at the bottom of a deep recursion, arguments are recorded by type rather than not at all.
    """

    def recurse() -> str:
        try:
            return recurse()
        except RecursionError:
            return ""

    def near_the_end(left: int) -> str:
        if left:
            return near_the_end(left - 1)
        return encode_arguments({"a": [[[[[[[[1]]]]]]]]}, ordinary_names=True)[0][0]

    assert recurse() == ""
    depth = next(depth for depth in range(980, 0, -1) if not _overflows(lambda depth=depth: near_the_end(depth)))
    assert json.loads(near_the_end(depth)) is not None


def _overflows(call: Callable[[], object]) -> bool:
    try:
        call()
    except RecursionError:
        return True
    return False


LARGE: dict[str, Callable[[], Any]] = {
    "text": lambda: "x" * 10_000_000,
    "bytes": lambda: b"x" * 10_000_000,
    "rows": lambda: [{"name": "v" * 100, "n": n} for n in range(60_000)],
    "numbers": lambda: list(range(1_000_000)),
    "control characters": lambda: "\x00" * 2_000_000,
    "many names": lambda: {f"name {n}": n for n in range(300_000)},
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_argument_is_cut_and_still_counts_whole(kind: str) -> None:
    """
    The record says how much is missing; the digest's form has all of it, to the last element.
    """
    value = LARGE[kind]()
    began = time.process_time()
    (text, _, cut), canonical = encode_arguments({"a": value}, ordinary_names=True)
    took_s = time.process_time() - began

    assert cut >= 1
    assert len(text) < RECORD.total * 2
    assert "cut" in text
    assert len(canonical) > 1_000_000
    assert took_s < 10


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_result_is_only_looked_at_as_far_as_it_is_kept(kind: str) -> None:
    """
    What a tool returned is cut by size, length and number.
    """
    text, _, cut = encode_result(LARGE[kind]())

    assert cut >= 1
    assert len(text) < RECORD.total * 2
