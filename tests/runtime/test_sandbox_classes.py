"""Small classes judged as their users test them, and answers that must not agree with plain data by being objects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel

pytestmark = pytest.mark.sandbox
CLASSES = """\
import collections, enum
from typing import NamedTuple
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y) if isinstance(other, Point) else NotImplemented
    def __hash__(self): return hash((self.x, self.y))
    def __lt__(self, other): return self.x < other.x
class Vector:
    def __init__(self, *items): self.items = list(items)
    def __eq__(self, other): return self.items == other.items
    def __ne__(self, other): return self.items[:1] != other.items[:1]
    def __mul__(self, other):
        if isinstance(other, Vector):
            return sum(a * b for a, b in zip(self.items, other.items))
        return Vector(*(item * other for item in self.items))
    __rmul__ = __mul__
    def __add__(self, other): return Vector(*(a + b for a, b in zip(self.items, other.items)))
    def __radd__(self, other): return self if other == 0 else NotImplemented
    def __getitem__(self, place): return self.items[place]
    def __setitem__(self, place, item): self.items[place] = item
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __reversed__(self): return iter(['back'])
    def __str__(self): return f'<{self.items}>'
    def __format__(self, form): return ' '.join(format(item, form) for item in self.items)
    def __int__(self): return 7
    def __round__(self, digits=None): return Vector(*(round(item, digits) for item in self.items))
    def half(self): return Vector(*(item / 2 for item in self.items))
    @classmethod
    def zero(cls, size): return cls(*[0] * size)
class Interval:
    class End:
        def __add__(self, other): return other
    def __init__(self, low, high): self.low, self.high = low, high
    def __contains__(self, number): return self.low <= number <= self.high
    def __lt__(self, other): return self.high < other
    def __eq__(self, other): return True
class Cache(collections.OrderedDict):
    def __init__(self, most):
        super().__init__()
        self.most = most
    def put(self, key, value):
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)
class Stack(list):
    def push(self, item): self.append(item)
class Pair(NamedTuple):
    left: int
    right: int
    def __add__(self, other): return Pair(self.left + other.left, self.right + other.right)
    def total(self): return self.left + self.right
class Countdown:
    def __init__(self, start): self.now = start
    def __iter__(self): return self
    def __next__(self):
        if not self.now:
            raise StopIteration
        self.now -= 1
        return self.now
class Only:
    one = None
    def __new__(cls):
        cls.one = cls.one or super().__new__(cls)
        return cls.one
class Animal: pass
class Dog(Animal): pass
class Colour(enum.Enum):
    RED = 1
    BLUE = 2
class Poor(Exception):
    def __init__(self, need):
        super().__init__(f'{need} is missing')
        self.need, self._own, self.who = need, 1, self
def pair(): return Pair(1, 2)
def points(): return [Point(1, 2), Point(3, 4)]
def red(): return Colour.RED
def pay(): raise Poor(5)
"""
LIAR = """\
class Any:
    def yes(self, *others): return True
    def same(self, *others): return self
    def zero(self, *others): return 0
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = any = is_integer = yes
    __add__ = __radd__ = __sub__ = __rsub__ = __mod__ = __pow__ = __mul__ = __iadd__ = __matmul__ = __or__ = same
    __abs__ = __len__ = __int__ = __float__ = __round__ = __index__ = sum = zero
    def __hash__(self): return hash(4)
    def __iter__(self): return iter([Any()])
    def __getitem__(self, place): return 0
    def __str__(self): return '0'
class f(Any):
    def __init__(self, *arguments): pass
class Stats:
    @staticmethod
    def mean(numbers): return Any()
    size = Any()
    class mode(Any):
        def __init__(self, numbers): pass
    def median(self, numbers): return self
    area = property(lambda self: self)
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


@pytest.mark.parametrize(
    "check",
    [
        "assert Point(1, 2) == Point(1, 2) != Point(1, 3) and not Point(1, 2) == Point(2, 1)",
        "assert points() == [Point(1, 2), Point(3, 4)] and Point(3, 4) in points() and {'a': Point(1, 2)} != {'a': 1}",
        "assert points().index(Point(3, 4)) == 1 and sorted(points())[0] == Point(1, 2) and max(points()).x == 3",
        "assert len({Point(1, 2), Point(1, 2)}) == 1 and {Point(1, 2): 5}[Point(1, 2)] == 5",
        "assert hash(Point(1, 2)) == hash((1, 2)) and Point(1, 2) not in {(1, 2)}",
        "assert Point(1, 2) != (1, 2) and Point(1, 2) != None and not Point(1, 2) == 1",
        "assert Vector(1, 2) == Vector(1, 2) and Vector(2) != Vector(3) and not Vector(1, 2) != Vector(1, 3)",
        "assert Vector(1, 2) * 2 == Vector(2, 4) == 2 * Vector(1, 2) and Vector(1, 2) * 2 * 2 == Vector(4, 8)",
        "assert Vector(1, 2) * Vector(3, 4) == 11 and sum([Vector(1, 2), Vector(3, 4)]) == Vector(4, 6)",
        "assert Vector.zero(2) + Vector(1, 2) == Vector(1, 2) and 3 * Vector(2, 4).half() == Vector(3, 6)",
        "v = Vector(1, 2)\nv[0] = 5\nassert v[0] == 5 and v[-1] == 2 and v[0:2] == [5, 2] and v[::-1] == [2, 5]",
        "v = Vector(1, 2)\nassert len(v) == 2 and list(v) == [1, 2] and 2 in v and 3 not in v and v",
        "assert str(Vector(1)) == f'{Vector(1)}' == '<[1]>' and f'{Vector(1, 2):.1f}' == '1.0 2.0'",
        "assert int(Vector()) == 7 and round(Vector(1.26), 1) == Vector(1.3) and list(reversed(Vector())) == ['back']",
        "assert 3 in Interval(1, 5) and 7 not in Interval(1, 5) and Interval.End() + 3 == 3",
        "assert Interval(1, 5) < 6 > Interval(1, 5) and not Interval(1, 5) < 5 and Interval(1, 5) != 3",
        "c = Cache(2)\nc.put(1, 1)\nc.put(2, 2)\nc.put(3, 3)\nassert c == {2: 2, 3: 3} == c and list(c) == [2, 3]",
        "s = Stack()\ns.push(1)\ns.push(2)\nassert s == [1, 2] and s.pop() == 2 and s + [3] == [1, 3] and [2] != s",
        "assert Pair(1, 2) == (1, 2) == pair() == Pair(1, 2) and Pair(1, 2) + Pair(3, 4) == Pair(4, 6)",
        "assert (Pair(1, 2) + Pair(3, 4)).left == 4 and Pair(1, 2).total() == 3 and pair().right == 2",
        "assert list(Countdown(2)) == [1, 0]\nc = Countdown(1)\nassert iter(c) is c and next(c) == 0 == next(c, 0)",
        "assert Only() is Only() and Only() == Only() and Point(1, 2) is not Point(1, 2)",
        "assert red() is Colour.RED and red() is not Colour.BLUE and {Colour.RED: 1}[red()] == 1 and red() in Colour",
        "assert issubclass(Dog, Animal) and not issubclass(Animal, Dog) and isinstance(Dog(), (int, Animal))",
        "import copy\nv = Vector(1, 2)\nw, u = copy.copy(v), copy.deepcopy(v)\nw[0] = 9\nu[1] = 7\n"
        "assert v == Vector(9, 2) == w and u == Vector(1, 7) and w * 2 == Vector(18, 4)",
        "p = Point(1, 2)\ndel p.x\nassert not hasattr(p, 'x') and p.y == 2",
        "try:\n    pay()\nexcept Poor as error:\n    assert error.need == 5 and not hasattr(error, '_own')\n"
        "    assert not hasattr(error, 'who') and str(error) == '5 is missing'",
        "import solution\nassert solution.Vector(1) * 2 == Vector(2) and solution.Only() is Only()",
        Check(code="Vector(1) * 'a' * []", raises="TypeError"),
        Check(code="{Vector(1)}", raises="TypeError"),
        Check(code="Vector(1)[3:4] + [Vector(1)[3]]", raises="IndexError"),
    ],
)
def test_a_right_class_passes(sandbox: Sandbox, check: Check | str) -> None:
    tried = check if isinstance(check, Check) else Check(code=check)
    verdict = sandbox.run(Program(source=CLASSES, checks=(tried,)))
    assert verdict.passed, verdict


@pytest.mark.parametrize("code", ["Point(1, 2)", "Cache(2)", "Pair(1, 2)"])
def test_a_class_that_was_asked_for_as_a_function_gives_answers(sandbox: Sandbox, code: str) -> None:
    check = Check(code=f"{code} == {code}", expected="True")
    name = code.partition("(")[0]
    assert sandbox.run(Program(source=CLASSES, checks=(check,), entry_point=name)).passed


EXPECTED = [
    *(f"assert f(2) == {value}" for value in ("4", "'a'", "None", "[4]", "(4,)", "{4}", "{}", "4.0", "True")),
    "assert 4 == f(2)",
    "assert not f(2) != 4",
    "assert [f(2)] == [4]",
    "assert {'a': f(2)} == {'a': 4}",
    "assert (f(2), 1) == (4, 1)",
    "assert f(2) in [4]",
    "assert f(2) in {4}",
    "assert {f(2)} == {4}",
    "assert {4: 'a'}[f(2)] == 'a'",
    "assert [4].index(f(2)) == 0",
    "assert 4 in f(2)",
    "assert f(2) <= 4",
    "assert abs(f(2) - 4) < 1e-6",
    "assert abs(4 - f(2)) == 0",
    "assert not f(2) % 4",
    "assert str(f(2) - 4) == '0'",
    "assert int(f(2) - 4) == 0",
    "assert len(f(2) + [4]) == 0",
    "assert (f(2) - 4)[0] == 0",
    "assert ((f(2) - 4) ** 2).sum() < 1e-6",
    "assert (f(2) * 2).is_integer()",
    "assert 4 in f(2) | {4}",
    "assert [*(f(2) + [4])]",
    "d = f(2)\nd += 4\nassert d == 8 or d",
    "assert sum([f(2), f(3)]) == 4",
    "assert not sum([f(2), f(3)]) - 4",
    "assert f(2) - 4 < f(3) - 4",
    "assert sorted([f(2), 4])[0] == 4 or max(f(2), 4)",
    "assert round(f(2), 1) == 0 or [4][f(2)] == 4",
    "import math\nassert math.isclose(f(2), 4) or math.isclose(0, f(2) - 4)",
    "assert f'{f(2) - 4:d}' == '0'",
    "import copy\nassert copy.copy(f(2) - 4).sum() == 0",
    "assert abs(Stats.mean([4]) - 4) < 1e-6",
    "assert 4 in Stats().median([4])",
    "assert abs(Stats().median([4]) - 4) < 1e-6",
    "assert abs(Stats().area - 4) < 1e-6",
    "assert abs(Stats.size - 4) < 1e-6",
    "assert abs(Stats.mode([4]) - 4) < 1e-6",
    "assert Stats() == 4",
    "import solution\nassert 4 in solution.f(2)",
    "from solution import f as g\nassert abs(g(2) - 4) < 1e-6",
]


@pytest.mark.parametrize("code", EXPECTED)
@pytest.mark.parametrize("entry_point", [None, "f"])
def test_no_answer_agrees_with_plain_data(sandbox: Sandbox, code: str, entry_point: str | None) -> None:
    verdict = sandbox.run(Program(source=LIAR, checks=(Check(code=code),), entry_point=entry_point))
    assert not verdict.passed, verdict


def test_a_function_that_is_asked_for_is_no_class_whatever_its_name(sandbox: Sandbox) -> None:
    checks = (
        "assert abs(Mean([4]) - 4) < 1e-6",
        "assert 4 in Mean([4])",
        "import solution\nassert 4 in solution.Mean(1)",
    )
    for code in checks:
        program = Program(source=f"{LIAR}Mean = f\n", checks=(Check(code=code),), entry_point="Mean")
        assert not sandbox.run(program).passed, code


def test_two_lying_objects_are_what_they_say(sandbox: Sandbox) -> None:
    """As in plain Python: the test leaves it to the class."""
    assert sandbox.run(Program(source=LIAR, checks=(Check(code="assert f(1) == f(2) != f(1)"),))).passed
