from __future__ import annotations

import contextlib
import datetime
import json
import math
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.runtime.inside_codec import MAX_TEXT, Codec, MalformedError, UncrossableError, restore

CODEC = Codec()

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.builds(range, st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 3))
    | st.sampled_from([int, str, list, dict, bool, ValueError, ..., NotImplemented]),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
plain = st.recursive(
    hashable | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=12,
)


def through_json(value: object) -> Any:
    return CODEC.decode(json.loads(json.dumps(CODEC.encode(value))))


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(x, b[k]) for k, x in a.items())
    return a == b or repr(a) == repr(b)


@given(plain)
@settings(max_examples=200, deadline=None)
def test_round_trip(value: object) -> None:
    assert same(through_json(value), value)


def test_odd_values() -> None:
    for value in (math.nan, math.inf, -math.inf, -0.0, complex(math.nan, -0.0), "\ud83d\ude00", "\ud83d"):
        assert repr(through_json([value])) == repr([value])
    assert through_json(-(10**5000)) == -(10**5000)


def test_subclasses_cross_as_the_plain_type() -> None:
    class Liar(float):
        def __sub__(self, other: float) -> float:
            return 0.0

        def __float__(self) -> float:
            return 1.0

    class Level(IntEnum):
        HIGH = 3

    point = namedtuple("point", "x y")
    for value, expected in [
        (Liar(123.0), 123.0),
        (Level.HIGH, 3),
        (point(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
    ]:
        assert same(through_json(value), expected)


def test_what_is_not_plain_is_refused() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (object(), lambda: 1, cycle, "x" * (MAX_TEXT + 1), iter([]), json):
        with pytest.raises(UncrossableError):
            CODEC.encode(value)


tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("intusfdbBcrqDFwlTE") | st.sampled_from(["ref", "own", "cb", ""]), inner, max_size=2
        )
    ),
    max_leaves=8,
)


@given(tree)
@settings(max_examples=300, deadline=None)
def test_any_tree_gives_a_value_or_is_called_malformed(value: Any) -> None:
    with contextlib.suppress(MalformedError):
        CODEC.decode(value)


def test_deep_tree_is_malformed() -> None:
    value: Any = []
    for _ in range(900):
        value = [value]
    with pytest.raises(MalformedError):
        CODEC.decode(value)


@given(
    st.lists(st.lists(st.integers(), max_size=3), max_size=4), st.lists(st.lists(st.integers(), max_size=3), max_size=4)
)
@settings(deadline=None)
def test_restore_keeps_what_others_hold(old: list[list[int]], new: list[list[int]]) -> None:
    rows = list(old)
    assert restore(old, new)
    assert old == new
    assert all(old[i] is rows[i] for i in range(min(len(rows), len(new))))


def test_restore_by_type() -> None:
    for old, new in [
        ({"a": [1]}, {"a": [2], "b": 1}),
        ({1, 2}, {3}),
        (bytearray(b"a"), bytearray(b"bc")),
        (deque([1]), deque()),
    ]:
        assert restore(old, new)
        assert old == new
    assert not restore(1, 2)
    assert not restore([1], (1,))
    inner = [1]
    assert restore((inner, 5), ([2], 5))
    assert inner == [2]


def test_clock_types_are_exact() -> None:
    now = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert through_json([now, now.date(), Decimal("1.50"), Fraction(1, 3)]) == [
        now,
        now.date(),
        Decimal("1.50"),
        Fraction(1, 3),
    ]
