"""The part of pytest that checks get, beside pytest itself."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.inside_pytest import Approx, _Marks, raises
from leafwise.runtime.inside_remote import SolverLost
from leafwise.runtime.inside_standin import NotTriedError
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel

EXPECTED = [
    *(0.3, 0, 1, 1e-13, -1e9, 1e9, math.inf, -math.inf, math.nan, 2 + 1j, True, None, "a", Fraction(1, 3)),
    *([0.3, 1], (0.3,), [], {"a": 0.3}, {}, {"a": None}, ["a", 0.1], np.array([0.3, 1.0]), np.zeros((2, 2))),
]
ACTUAL: list[Any] = [
    *(0.1 + 0.2, 0.3000001, 0.300001, 0.31, 1e-12, 2e-12, 1.0000009, 1.000002, -1e9 - 900, 1e9 + 1100, 0.0, 1),
    *(math.inf, -math.inf, math.nan, 2.0000001 + 1j, "a", None, True, Fraction(333333333, 10**9)),
    *([0.1 + 0.2, 1], [0.3], (0.3, 1), (0.3000001,), [], ["a", 0.1], {"a": 0.3000001}, {"b": 0.3}, {"a": None}, {}),
    *(np.array([0.3, 1.0000001]), np.array([0.3]), np.full((2, 2), 1e-13), np.float64(0.3), np.zeros(3)),
]
TOLERANCES: list[dict[str, Any]] = [{}, {"rel": 0.1}, {"abs": 0.1}, {"rel": 1e-9, "abs": 1e-3}, {"nan_ok": True}]


@pytest.mark.parametrize("tolerance", TOLERANCES, ids=str)
@pytest.mark.parametrize("expected", EXPECTED, ids=repr)
def test_approx_says_what_pytest_says(expected: Any, tolerance: dict[str, Any]) -> None:
    for actual in ACTUAL:
        if isinstance(expected, np.ndarray) and not np.shape(actual):
            continue  # pytest broadcasts
        if isinstance(expected, list) and isinstance(actual, dict):
            continue  # pytest takes the one for the other if both are empty
        with contextlib.suppress(TypeError):  # pytest's, which wants no `rel` for what is no number
            theirs = actual == pytest.approx(expected, **tolerance)
            assert bool(actual == Approx(expected, **tolerance)) is bool(theirs), (actual, expected, tolerance)


def test_approx_of_decimals() -> None:
    for actual in (Decimal("0.3000001"), Decimal("0.31"), Decimal(3)):
        assert (actual == Approx(Decimal("0.3"))) is bool(actual == pytest.approx(Decimal("0.3")))
    assert Decimal("NaN") != Approx(Decimal("0.3"))
    assert Decimal("0.3") == Approx(Decimal("0.4"), rel=0.5)


@pytest.mark.parametrize("nested", [[[1.0]], {"a": [1.0]}, ({},)])
def test_approx_takes_one_level(nested: Any) -> None:
    with pytest.raises(TypeError, match="nested"):
        Approx(nested)


def blocks(offered: Callable[..., Any]) -> Iterator[str]:
    """What becomes of blocks: `caught`, or the type of what comes out."""

    def boom() -> None:
        raise KeyError("why 12")

    tried: list[tuple[Any, str | None, Callable[[], None]]] = [
        (KeyError, None, boom),
        (LookupError, None, boom),
        ((ValueError, KeyError), None, boom),
        (ValueError, None, boom),
        (KeyError, r"why \d+", boom),
        (KeyError, "other", boom),
        (KeyError, None, lambda: None),
    ]
    for expected, match, block in tried:
        try:
            with offered(expected, match=match) as caught:
                block()
            yield f"caught {caught.type.__name__} {caught.value.args}"
        except BaseException as error:  # pytest's own are no `Exception`
            yield f"{type(error).__name__} {isinstance(error, Exception)}"


def test_raises_does_what_pytests_does() -> None:
    assert [*blocks(raises)] == [*blocks(pytest.raises)]
    assert raises(ZeroDivisionError, lambda x: 1 / x, 0).type is ZeroDivisionError
    assert raises(ZeroDivisionError, lambda x: 1 / x, x=0).match("division")
    with pytest.raises(TypeError):
        raises("KeyError")


@pytest.mark.parametrize("kind", [SolverLost, NotTriedError])
def test_no_raises_takes_what_ends_a_check(kind: type[BaseException]) -> None:
    with pytest.raises(kind), raises(BaseException):
        raise kind


def test_marks_do_nothing() -> None:
    assert _Marks().slow(len) is len or _Marks().slow(blocks) is blocks
    assert _Marks().parametrize("a", [1])(blocks) is blocks
    assert _Marks().timeout(3)(blocks) is blocks


SOURCE = """\
class Negative(ValueError): pass
def half(x):
    if x < 0:
        raise Negative(f'{x} is negative')
    return x / 2
def thirds(n): return [x / 3 for x in range(n)]
class Any:
    __eq__ = __abs__ = __sub__ = __rsub__ = lambda *others: True
def lie(): return Any()
def same(x): return x
"""
SETUP = "import pytest\nfrom pytest import approx\nfrom solution import Negative\nROWS = [pytest.param(1, 2)]\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("check", "passes"),
    [
        (Check(code="half(1)", expected="pytest.approx(0.5000000001)"), True),
        (Check(code="thirds(3)", expected="approx([0, 0.3333333333, 0.6666666667])"), True),
        ("assert half(1) != approx(0.6) and {'a': half(3)} == approx({'a': 1.5}) and ROWS == [(1, 2)]", True),
        ("with pytest.raises(ValueError, match='-1 is') as e:\n    half(-1)\nassert e.type is Negative", True),
        ("pytest.raises(Negative, half, -1)", True),
        ("with pytest.raises(Negative):\n    half(1)", False),
        ("try:\n    with pytest.raises(Negative): half(1)\nexcept Exception: pass", False),
        ("with pytest.raises(KeyError):\n    half(-1)", False),
        ("with pytest.raises(ValueError, match='positive'):\n    half(-1)", False),
        ("pytest.fail('no')", False),
        ("assert lie() == approx(3)", False),
        ("assert [lie()] == approx([3]) or lie() == approx([3])", False),
        ("with pytest.raises(BaseException):\n    lie() - 3", False),
        ("assert same(pytest) is None", False),
    ],
)
def test_checks_that_use_pytest(sandbox: Sandbox, check: Check | str, passes: bool) -> None:
    tried = check if isinstance(check, Check) else Check(code=check)
    for trusted in (False, True):
        verdict = sandbox.run(Program(source=SOURCE, setup=SETUP, checks=(tried,), trusted_checks=trusted))
        assert verdict.passed is passes, verdict


@pytest.mark.sandbox
def test_each_programs_checks_get_a_module_of_their_own(sandbox: Sandbox) -> None:
    for code in ("pytest.approx = pytest.x = 3", "assert half(1) == pytest.approx(0.5) and not hasattr(pytest, 'x')"):
        program = Program(source=SOURCE, setup="import pytest", checks=(Check(code=code),), trusted_checks=True)
        assert sandbox.run(program).passed, code


@pytest.mark.sandbox
def test_a_program_does_not_get_it(sandbox: Sandbox) -> None:
    check = Check(code="f()", raises="ImportError")
    assert sandbox.run(Program(source="def f():\n    import pytest\n", setup="import pytest", checks=(check,))).passed
