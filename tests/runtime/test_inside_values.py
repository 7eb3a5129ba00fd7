from __future__ import annotations

import sys
from collections import Counter, OrderedDict, deque, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.runtime.inside_pytest import Approx
from leafwise.runtime.inside_values import is_mutable, restore, same


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


def test_restore_fills_arrays_in_place() -> None:
    held = np.zeros((2, 2), dtype=">f8")
    row = held[0]
    argument = [held, (held, 1)]
    assert restore(argument, [np.eye(2), (np.eye(2), 1)])
    assert argument[0] is held
    assert row.tolist() == [1.0, 0.0]
    for new in (np.eye(3), np.eye(2, dtype="i8"), [[1]]):
        assert not restore(held, new)
    held.flags.writeable = False
    assert not restore(held, np.zeros((2, 2)))


def test_what_is_mutable() -> None:
    assert all(map(is_mutable, ([], {}, set(), bytearray(), deque(), Counter(), np.zeros(1))))
    own = type("Own", (Counter,), {})()
    assert not any(map(is_mutable, (1, (), "", own, np.eye(2).view(np.matrix), np.float64(1), None)))


items = st.recursive(
    st.sampled_from([0, 1, True, 1.0, float("nan"), "a", None]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.tuples(inner)
        | st.dictionaries(st.sampled_from([0, 1, 1.0, "a"]), inner, max_size=2)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2).map(OrderedDict)
    ),
    max_leaves=4,
)


@given(items, items)
@settings(max_examples=300, deadline=None)
def test_same_is_equality_where_no_array_is(value: object, expected: object) -> None:
    assert same(value, expected) is bool(value == expected)
    assert same(value, value) is bool(value == value)  # a list of one and the same NaN equals itself


point = namedtuple("point", "x y")
TWO = np.array([1, 2])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TWO, np.array([1.0, 2.0])),
        ([TWO, 1], [np.array([1, 2]), True]),
        ({"a": (TWO,)}, {"a": (np.array([1, 2]),)}),
        ((TWO, 1), point(np.array([1, 2]), 1)),
        (np.array(5), 5),
        (np.float64(1.5), 1.5),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.array(["a"]), np.array(["a"], dtype="U9")),
    ],
)
def test_same_arrays(value: object, expected: object) -> None:
    assert same(value, expected) is same(expected, value) is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TWO, np.array([1, 3])),
        (TWO, [1, 2]),
        (np.ones(2), 1),
        (np.array([1]), np.array([[1]])),
        (np.zeros(0), np.zeros((0, 3))),
        (np.array([np.nan]), np.array([np.nan])),
        (TWO, np.array(["1", "2"])),
        ([TWO], [np.array([1, 2]), 3]),
        ({"a": TWO}, {"b": TWO}),
        (TWO, None),
        (np.float64(1), [1.0, 2.0]),
    ],
)
def test_different_arrays(value: object, expected: object) -> None:
    assert same(value, expected) is same(expected, value) is False


@pytest.mark.parametrize("approx", [Approx, pytest.approx])
def test_approximate_arrays(approx: Any) -> None:
    assert same(np.array([0.3, 1]), approx([0.1 + 0.2, 1]))
    assert same(np.array([0.3, 1]), approx(np.array([0.1 + 0.2, 1])))
    assert not same(np.array([0.3, 1]), approx([0.3, 2]))


def test_a_stand_in_is_not_asked_for_an_array() -> None:
    """numpy reads memory wherever `__array_interface__` points."""

    class StandIn:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

    assert not same(StandIn(), np.zeros(2))
    assert not same([np.zeros(2)], [StandIn()])


def test_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    assert same([1], [1.0])
    assert not is_mutable(TWO)
