from __future__ import annotations

import contextlib
import datetime
import json
import math
import subprocess
import sys
import time
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.runtime import inside_codec
from leafwise.runtime.inside_codec import MAX_DEPTH, MAX_NODES, MAX_TEXT, Codec, MalformedError, UncrossableError

CODEC = Codec()

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters())
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.sampled_from([Decimal("nan"), Decimal("-nan12"), 1 << 62, -(1 << 62), (1 << 62) - 1])
    | st.fractions()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.sampled_from([Path("a/b"), PurePosixPath("/ä"), PureWindowsPath("c:/a")])
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
        | st.builds(deque, st.lists(inner, max_size=3), st.none() | st.integers(0, 4))
    ),
    max_leaves=12,
)


def through_json(value: object) -> Any:
    return CODEC.decode(json.loads(json.dumps(CODEC.encode(value), allow_nan=False)))


def exact(value: Any) -> str:
    """Differs where types, signs of zero, or the order in a dict do, anywhere inside."""
    inside: Any = repr(value)
    if isinstance(value, (set, frozenset)):
        inside = sorted(map(exact, value))
    elif isinstance(value, dict):
        inside = [*map(exact, value.items())]
    elif isinstance(value, (list, tuple, deque)):
        inside = [*map(exact, value), getattr(value, "maxlen", None)]
    return f"{type(value).__name__}: {inside}"


@given(plain)
@settings(max_examples=200, deadline=None)
def test_round_trip(value: object) -> None:
    assert exact(through_json(value)) == exact(value)


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
        assert exact(through_json(value)) == exact(expected)


def raiser(*args: object, **kwargs: object) -> Any:
    raise SystemExit("a method of the subclass ran")


@pytest.mark.parametrize(
    "value",
    [
        *(7, -1.5, "text", b"bytes", bytearray(b"array"), 2j, (1, "a"), [1, [2]], {"a": 1}, {1, 2}, frozenset({3})),
        *(OrderedDict(a=1, b=2), deque([1], 2), Decimal("1.5"), Fraction(1, 3)),
        *(datetime.datetime(2026, 1, 2, 3, fold=1), datetime.date(2026, 1, 2), datetime.timedelta(1, 2, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_method_of_a_subclass_runs(value: Any) -> None:
    kind = type(value)
    own = {name for name in dir(kind) if callable(getattr(kind, name)) or name in ("days", "fold", "numerator")}
    kept = {"__new__", "__init__", "__class__", "__getattribute__", "__init_subclass__", "__subclasshook__", "__del__"}
    args = {
        deque: ([1], 2),
        datetime.datetime: (2026, 1, 2, 3),
        datetime.date: (2026, 1, 2),
        datetime.timedelta: (1, 2, 3),
    }
    made = type("Hostile", (kind,), {})(*args.get(kind, (value,)), **({"fold": 1} if hasattr(value, "fold") else {}))
    for name in own - kept:
        with contextlib.suppress(TypeError, AttributeError):
            setattr(type(made), name, property(raiser) if name in ("days", "fold", "numerator") else raiser)
    back = through_json([made])[0]
    assert type(back) is (dict if kind is OrderedDict else kind)
    assert back == value


def test_no_lie_about_a_class_is_believed() -> None:
    class Meta(type):
        __mro__ = property(lambda cls: (int, object))
        __module__ = __name__ = property(raiser)
        __hash__ = raiser
        __eq__ = raiser

    class Number(metaclass=Meta):
        __class__ = property(lambda self: int)

    for value in (Number(), Number):
        with pytest.raises(UncrossableError):
            CODEC.encode([value])


def test_the_order_of_an_ordered_dict_is_its_own() -> None:
    cache = OrderedDict(a=1, b=2)
    cache.move_to_end("a")
    assert list(through_json(cache)) == ["b", "a"]


def test_what_is_not_plain_is_refused() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (object(), lambda: 1, cycle, "x" * (MAX_TEXT + 1), iter([]), json):
        with pytest.raises(UncrossableError):
            CODEC.encode(value)


def test_caps_hold_on_both_sides() -> None:
    deepest: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        deepest = [deepest]
    assert through_json(deepest) == deepest
    assert Codec(max_nodes=4).encode([1, (2,)]) == [1, {"t": [2]}]
    for value in ([1, 2, 3, 4], {1: 2, 3: 4}, [range(3)]):
        with pytest.raises(UncrossableError):
            Codec(max_nodes=4).encode(value)
    for large in ([deepest], 1 << (4 * MAX_TEXT + 8), b"x" * (MAX_TEXT + 1), Fraction((1 << 70000) + 1, 1 << 70000)):
        with pytest.raises(UncrossableError):
            CODEC.encode(large)
    with pytest.raises(MalformedError):
        CODEC.decode([0] * MAX_NODES)


tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("intusfdbBcrqDFwlTEagp") | st.sampled_from(["ref", "own", "cb", ""]), inner, max_size=2
        )
    ),
    max_leaves=8,
)


@given(tree)
@settings(max_examples=400, deadline=2000)
def test_any_tree_gives_a_value_or_is_called_malformed(value: Any) -> None:
    with contextlib.suppress(MalformedError):
        CODEC.decode(value)


def test_no_small_tree_is_a_lot_of_work() -> None:
    """Each would take minutes by the rules of its type."""
    digits = {"i": "f" * 3_000_000}
    for value in ({"F": [digits, {"i": "e" * 3_000_000}]}, {"F": ["1e99999999", 1]}, {"r": [1, "9" * 99_999]}):
        start = time.perf_counter()
        with pytest.raises(MalformedError):
            CODEC.decode(value)
        assert time.perf_counter() - start < 2
    assert CODEC.decode({"F": [digits, 1]}) == int(digits["i"], 16)


def test_only_the_wanted_modules_are_loaded() -> None:
    """The process that imports the codec forks for each program; threading, for one, has a hook at each fork."""
    script = """if True:
        import sys, types
        for name in ("leafwise", "leafwise.runtime"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["leafwise.runtime"].__path__ = [sys.argv[1]]
        from leafwise.runtime import inside_codec, inside_values
        print(*{"threading", "datetime", "decimal", "fractions", "numbers", "numpy", "logging"} & set(sys.modules))
        print(inside_codec.Codec().decode({"l": [1, 2, 3]}), inside_codec.Codec().decode({"D": "1.5"}))"""
    folder = str(Path(inside_codec.__file__).parent)
    done = subprocess.run([sys.executable, "-IS", "-c", script, folder], capture_output=True, text=True, check=True)
    assert done.stdout == "\n1 day, 0:00:02.000003 1.5\n"


def test_deep_tree_is_malformed() -> None:
    value: Any = []
    for _ in range(900):
        value = [value]
    with pytest.raises(MalformedError):
        CODEC.decode(value)


def test_clock_types_are_exact() -> None:
    now = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert through_json([now, now.date(), Decimal("1.50"), Fraction(1, 3)]) == [
        now,
        now.date(),
        Decimal("1.50"),
        Fraction(1, 3),
    ]
