"""Which function a name in a check means, where the program's has a name that the library has too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel, Verdict
from leafwise.runtime.sandbox_corpus import humaneval_program

pytestmark = pytest.mark.sandbox
SUM = "def sum(a, b):\n    return max([n for n in range(1, a + 1) if a % n == b % n == 0])\n"
LIES = """\
def f(*args):
    return 'nonsense'
def yes(*args):
    return True
len = sorted = isinstance = abs = all = any = sum = set = yes
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


def judged(sandbox: Sandbox, source: str, *checks: Check | str, entry_point: str | None, setup: str = "") -> Verdict:
    tried = tuple(check if isinstance(check, Check) else Check(code=check) for check in checks)
    return sandbox.run(Program(source=source, checks=tried, setup=setup, entry_point=entry_point))


@pytest.mark.parametrize(
    "check",
    [
        Check(code="sum(10, 15)", expected="5"),
        Check(code="[sum(10, n) for n in (15, 20)]", expected="[5, 10]"),
        Check(code="sum(10)", raises="TypeError"),
        Check(code="assert sum(10, 15) == 5 and len([1]) == 1"),
        Check(code="def look():\n    return (lambda: sum(10, 15))()\nassert look() == 5"),
        Check(code="from solution import *\nassert sum(10, 15) == 5"),
    ],
)
def test_a_builtins_name_is_the_programs_where_it_is_asked_for(sandbox: Sandbox, check: Check) -> None:
    assert judged(sandbox, SUM, check, entry_point="sum").passed
    wrong = "def sum(a, b=0):\n    return 7\ndef len(xs):\n    return 1\n"
    assert not judged(sandbox, wrong, check, entry_point="sum").passed


def test_the_builtin_does_not_stand_in_for_a_function_that_is_missing(sandbox: Sandbox) -> None:
    verdict = judged(sandbox, "x = 1\n", Check(code="sorted([2, 1])", expected="[1, 2]"), entry_point="sorted")
    assert verdict.checks[0].error == "NameError: name 'sorted' is not defined"


@pytest.mark.parametrize("name", ["sum", "sorted", "max", "filter", "copy", "math"])
def test_tests_that_are_given_the_function(sandbox: Sandbox, name: str) -> None:
    """In HumanEval's form the setup's own functions keep the builtin."""
    test = "def check(candidate):\n    assert candidate([3]) == [3, sum([1, 2])]\n    assert len(sorted([1])) == 1\n"
    problem = {"prompt": f"def {name}(xs):\n", "entry_point": name, "test": test}
    assert sandbox.run(humaneval_program(problem, "    return [*xs, 3]\n")).passed
    assert not sandbox.run(humaneval_program(problem, "    return [*xs, 4]\n")).passed


@pytest.mark.parametrize("entry_point", ["f", "abs", None])
@pytest.mark.parametrize(
    "check",
    [
        "assert len(f(1)) == True",
        "assert sorted(f(1)) == True",
        "assert isinstance(f(1), int)",
        "assert all([f(1) == 1])",
        "assert any(f(1) == n for n in range(5))",
        Check(code="f(1)", expected="sum([1, 2])"),
        Check(code="f(1)", expected="[sorted(x) for x in ([2, 1],)]"),
        Check(code="isinstance(f(1), int)", expected="True"),
    ],
)
def test_no_other_name_of_a_builtin_is(sandbox: Sandbox, check: Check | str, entry_point: str | None) -> None:
    assert not judged(sandbox, LIES, check, entry_point=entry_point).passed


@pytest.mark.parametrize("setup", ["", "from solution import *", "from solution import sorted"])
@pytest.mark.parametrize("expected", ["sorted([3, 1])", "[x for x in sorted([3, 1])]", "(lambda: sorted([3, 1]))()"])
def test_an_expected_value_never_asks_the_function_under_test(sandbox: Sandbox, expected: str, setup: str) -> None:
    check = Check(code="sorted([3, 1])", expected=expected)
    assert not judged(sandbox, "def sorted(xs):\n    return [7]\n", check, entry_point="sorted", setup=setup).passed
    right = "import builtins\ndef sorted(xs):\n    return builtins.sorted(xs)\n"
    assert judged(sandbox, right, check, entry_point="sorted", setup=setup).passed
