from __future__ import annotations

import contextlib
import enum
from collections import Counter, OrderedDict, defaultdict, namedtuple
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.runtime.inside_codec import MalformedError
from leafwise.runtime.inside_kinds import KindCodec, shown_plainly
from leafwise.runtime.inside_standin import OBJECT, Remote

KINDS = ("Counter", "OrderedDict", "defaultdict")


class Level(enum.IntEnum):
    LOW = 1


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Word(enum.StrEnum):
    ONE = "one"


class Mixed(int, enum.Enum):
    A = 0


class Text(str, enum.Enum):  # noqa: UP042 - it is shown in another way than a StrEnum
    A = ""


class Point(NamedTuple):
    x: int
    y: object


class Named(Point):
    def __iter__(self) -> Any:
        raise SystemExit  # the program's own methods are not asked


def back(value: object) -> Any:
    return KindCodec().decode(KindCodec().encode(value))  # two: what went out through one would come back as it was


@pytest.mark.parametrize(
    "value",
    [Counter("aab"), OrderedDict(b=1, a=[2]), defaultdict(list, a=[1]), defaultdict(None), [{1: Counter()}], Counter()],
)
def test_dictionaries_come_back_as_what_they_are(value: object) -> None:
    assert back(value) == value
    assert type(back(value)) is type(value)


def test_order_and_factory_come_back() -> None:
    moved = OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    assert [*back(moved)] == ["b", "a"]
    assert back(defaultdict(list)).default_factory is list


@pytest.mark.parametrize("value", [Point(1, (2,)), Named(1, [2]), [Point(1, Point(2, 3))]])
def test_named_tuples_keep_their_names(value: Any) -> None:
    assert back(value) == value
    first = back(value)[0] if type(value) is list else back(value)
    assert first.x == 1
    assert first._fields == ("x", "y")


def test_records_of_one_class_are_of_one_class() -> None:
    one, two = back([Point(1, 2), Point(3, 4)])
    assert type(one) is type(two)


def test_what_only_looks_like_a_record_is_a_tuple() -> None:
    unfit = [("x", "x"), ("_1", "y"), ("x", "def"), tuple(f"x{n}" for n in range(300))]
    for fields in (("x",), ("x", "y", "z"), ("x", "ﬁ"), ("x", 1), ["x", "y"], *unfit):
        odd = type("Odd", (tuple,), {"_fields": fields})
        assert type(back(odd((1, 2)))) is tuple
    for name in ("Ödd", "None"):
        assert type(back(type(name, (Point,), {})(1, 2))) is tuple
    many = namedtuple("many", [f"x{n}" for n in range(300)])  # type: ignore[misc]
    assert type(back(many(*range(300)))) is tuple


def test_members_are_numbers_with_a_name() -> None:
    codec = KindCodec()
    member = codec.decode(KindCodec().encode(Level.LOW))
    assert member == 1
    assert (member.name, member.value, repr(member)) == ("LOW", 1, "<Level.LOW: 1>")
    assert codec.decode(KindCodec().encode(Level.LOW)) is member
    assert type(back(Flags.A | Flags.B)) is int


def test_members_are_shown_as_python_shows_them() -> None:
    for member in (Level.LOW, Flags.A, Word.ONE, Mixed.A, Text.A):
        other = back(back(member))
        assert (str(other), f"{other}", repr(other)) == (str(member), f"{member}", repr(member))
        assert other == member.value


def test_what_comes_back_is_of_its_own_class() -> None:
    here, there = KindCodec(), KindCodec()
    for value in (Level.LOW, Text.A, Point(1, Level.LOW), Named(1, [2])):
        mine = here.decode(there.encode(there.decode(here.encode(value))))
        assert type(mine) is type(value)
        assert mine is value or isinstance(value, tuple)


@pytest.mark.parametrize(
    "parts",
    [
        ["Counter", [{"T": "int"}], [], []],
        ["OrderedDict", [{"T": "list"}], [], []],
        ["defaultdict", [], [], []],
        ["defaultdict", [None, None], [], []],
        ["defaultdict", [3], [], []],
        ["Counter", [], ["a"], []],
        ["Counter", [], [[]], [1]],
        ["Other", [], [], []],
        [[], [], [], []],
        ["record", "P", ["x"], [1, 2]],
        ["record", "P", ["x", "x"], [1, 2]],
        ["record", "P", ["_x"], [1]],
        ["record", "P", ["def"], [1]],
        ["record", "P", ["ﬁ", "fi"], [1, 2]],
        ["record", "P(x)", ["x"], [1]],
        ["record", "P", [["x"]], [1]],
        ["record", "P", 3, [1]],
        ["record", "P", [f"x{n}" for n in range(300)], [1] * 300],
        ["member", "P", "A", 1.5, True],
        ["member", "P", "A", True, True],
        ["member", "P", "a b", 1, True],
        ["member", "P", "A", 1, 1],
        ["member", "P", "A", 1],
        ["member", "P", "A", {"T": "int"}, True],
        ["member"],
        [],
        None,
        "Counter",
    ],
)
def test_what_no_codec_makes_is_malformed(parts: Any) -> None:
    for tree in ({"kind": parts}, [{"kind": parts}]):
        with pytest.raises(MalformedError):
            KindCodec().decode(tree)
    with pytest.raises(MalformedError):
        KindCodec().decode({"kind": ["Counter", [], [], []], "t": []})


def test_classes_are_made_in_reasonable_numbers() -> None:
    trees: list[Any] = [{"kind": ["record", f"P{n}", ["x"], [1]]} for n in range(1001)]
    trees += [{"kind": ["member", f"P{n}", "x", n, True]} for n in range(1001)]
    values = KindCodec().decode(trees)
    assert [type(value) is tuple for value in values[:1001]] == [False] * 1000 + [True]
    assert [type(value) for value in values[1001:]] == [int] * 1001
    assert values == [*[(1,)] * 1001, *range(1001)]


class Asked:
    def request(self, op: str, /, *args: object, **kwargs: object) -> Any:
        return 1


def test_no_ordered_dictionary_asks_a_stand_in_what_it_equals() -> None:
    asks: Any = Asked()
    codec = KindCodec(resolve=lambda tag, payload: Remote(asks, 1, "K", OBJECT))
    for key in ({"ref": 1}, {"t": [1, {"f": [{"ref": 1}]}]}, {"kind": ["record", "P", ["x"], [{"ref": 1}]]}):
        assert type(codec.decode({"kind": ["OrderedDict", [], [1, key], [2, 3]]})) is dict
        assert type(codec.decode({"kind": ["OrderedDict", [], [1, 2], [3, key]]})) is OrderedDict


tree = st.recursive(
    st.none() | st.integers(-1, 3) | st.sampled_from(["record", "member", "P", "x", *KINDS]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["kind", "t", "T", "d"]), inner, max_size=2)
    ),
    max_leaves=10,
)


@given(st.lists(tree, max_size=4) | st.tuples(st.sampled_from(["record", "member", *KINDS]), tree, tree, tree))
@settings(max_examples=300, deadline=None)
def test_any_tree_gives_a_value_or_is_called_malformed(parts: Any) -> None:
    with contextlib.suppress(MalformedError):
        KindCodec().decode({"kind": [*parts]})


def test_no_lie_about_a_class_is_believed() -> None:
    class Meta(type):
        __mro__ = __name__ = __class__ = property(lambda cls: 1 // 0)

    assert type(back(Meta("Odd", (Point,), {})(1, 2))) is not tuple
    assert back(Meta("Odd", (tuple,), {})((1, 2))) == (1, 2)


def test_shown_plainly() -> None:
    point = namedtuple("point", "x y")
    value: list[Any] = [Counter("a"), (OrderedDict(b=defaultdict(int)), point(1, [point(2, 3)])), {back(Level.LOW)}]
    assert shown_plainly(value) == "[{'a': 1}, ({'b': {}}, (1, [(2, 3)])), {1}]"
    assert shown_plainly(["x=1", (1,), True, 1.5]) == "['x=1', (1,), True, 1.5]"
