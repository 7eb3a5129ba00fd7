"""Operators on a program's objects: a right class can be judged, and no object answers for plain data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel

pytestmark = pytest.mark.sandbox
VECTOR = """\
import dataclasses
@dataclasses.dataclass
class Vector:
    x: int
    y: int
    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y) if isinstance(other, Vector) else NotImplemented
    def __iadd__(self, other):
        self.x += other.x
        return self
    def __pow__(self, other, modulus=None): return Vector(self.x, other.x)
    def __neg__(self): return Vector(-self.x, -self.y)
    def __lt__(self, other): return self.x < other.x
    def __abs__(self): return abs(self.x) + abs(self.y)
    def __float__(self): raise OverflowError
    def __enter__(self): return self.x
    def __exit__(self, kind, error, trace):
        self.y = (kind and kind.__name__, error and str(error))
        return True
class Right:
    def __radd__(self, other): return Vector(7, 7)
"""
ANYTHING = """\
class Any:
    def yes(self, *others): return True
    def same(self, *others): return self
    def zero(self, *others): return 0
    __lt__ = __le__ = __gt__ = __ge__ = __ror__ = __and__ = __bool__ = __enter__ = __exit__ = yes
    __sub__ = __rsub__ = __mod__ = __rmod__ = __abs__ = __xor__ = __isub__ = zero
    __add__ = __radd__ = __matmul__ = same
    def __mul__(self, other): return 16
    __index__ = __int__ = __round__ = lambda self, *digits: 16
    def __float__(self): return 4.0
    def __neg__(self): return -4
def f(*args):
    return Any()
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


@pytest.mark.parametrize(
    "check",
    [
        "assert Vector(1, 2) + Vector(3, 4) == Vector(4, 6) != Vector(4, 7)",
        "assert sum([Vector(1, 2), Vector(3, 4)], Vector(0, 0)).y == 6",
        "assert Vector(1, 2) + Right() == Vector(7, 7)",
        "assert Vector(1, 2) ** Vector(3, 4) == Vector(1, 3) and pow(*[Vector(1, 2)] * 3) == Vector(1, 1)",
        "assert -Vector(1, 2) == Vector(-1, -2) and abs(Vector(-3, 4)) == 7",
        "assert [v.x for v in sorted([Vector(3, 0), Vector(1, 0)])] == [1, 3] and Vector(2, 0) > Vector(1, 0)",
        "v = w = Vector(1, 2)\nv += Vector(1, 1)\nassert w == Vector(2, 2) and v == w",
        "v = Vector(5, 0)\nwith v as x:\n    assert x == 5\nassert v.y == (None, None)",
        "v = Vector(5, 0)\ntry:\n    with v: raise ValueError('bad')\nexcept ValueError: pass\n"
        "assert v.y == ('ValueError', 'bad')",
        Check(code="Vector(1, 2) + 'x'", raises="TypeError"),
        Check(code="'x' + Vector(1, 2)", raises="TypeError"),
        Check(code="Vector(1, 2) * Vector(1, 2)", raises="TypeError"),
        Check(code="Vector(1, 2) < 3", raises="AttributeError"),
        Check(code="int(Vector(1, 2))", raises="TypeError"),
        Check(code="float(Vector(1, 2))", raises="OverflowError"),
        Check(code="with Right():\n    pass", raises="TypeError"),
    ],
)
def test_objects_of_the_program_with_each_other(sandbox: Sandbox, check: Check | str) -> None:
    tried = check if isinstance(check, Check) else Check(code=check)
    verdict = sandbox.run(Program(source=VECTOR, checks=(tried,)))
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    "check",
    [
        "assert abs(f(1) - 3) < 1",
        "assert not f(1) - 3",
        "assert abs(f(1) + 3) == 0",
        "assert f(1) < 3 or f(1) > 3",
        "assert 3 < f(1) or 3 >= f(1)",
        "assert f(1) & True",
        "assert [] | f(1)",
        "x = f(1)\nx -= 3\nassert x == 0",
        "assert '%s' % f(1) == 'True' or 3 % f(1) == 0",
        "assert sum([f(1), f(2)]) - sum([f(3)]) == 0",
        "r = f(16)\nassert r * r == 16",
        "assert math.pow(f(16), 2) == 16 or math.isclose(f(16), 4)",
        "assert int(f(16)) == 16 or [*range(20)][f(16)] == 16 or round(f(16), 1) == 16",
        "assert -f(16) == -4 or f(16) - f(16) == 0",
        "with f(1):\n    assert f(1) == 3",
        "with f(1):\n    [].nothing",
        "try:\n    f(1) - 3\nexcept Exception:\n    pass",
        *(
            Check(code=code, raises=name)
            for code in ("f(1) - 3", "3 < f(1)", "f(1) + 'x'")
            for name in ("TypeError", "NotTriedError", "BaseException")
        ),
    ],
)
def test_no_object_of_the_program_answers_for_plain_data(sandbox: Sandbox, check: Check | str) -> None:
    tried = check if isinstance(check, Check) else Check(code=check)
    verdict = sandbox.run(Program(source=ANYTHING, checks=(tried,)))
    assert not verdict.passed, verdict


def test_a_function_of_the_checks_that_is_called_back_may_not_either(sandbox: Sandbox) -> None:
    source = f"{ANYTHING}def call(g):\n    try:\n        g(Any())\n    except RuntimeError:\n        return 'refused'\n"
    verdict = sandbox.run(Program(source=source, checks=(Check(code="call(lambda x: x - 3)", expected="'refused'"),)))
    assert verdict.passed, verdict
