"""Tests files in pytest's style: each case of a parametrized test is a check, and nothing is left out silently."""

from __future__ import annotations

import textwrap

import pytest

from leafwise.agents.contracts import Spec
from leafwise.agents.errors import TaskError
from leafwise.agents.prompt_text import shown_examples
from leafwise.agents.reading import read_task
from leafwise.agents.tests_file import read_tests

NAMED = """\
CASES = [(1, 2), pytest.param(3, 4, id="more")]
MORE: list = [(5, 6)]
TABLE = {1: 2, "a": [3]}
ONE = (7, 8)
BROKEN = [pytest.mark.xfail(strict=True)]
"""


@pytest.mark.parametrize(
    ("decorators", "cases"),
    [
        ('parametrize("a, b", [(1, 2), [3, "x"]])', ["a=1, b=2", "a=3, b='x'"]),
        ('parametrize(["a", "b"], ((1, 2),), ids=["one"])', ["a=1, b=2"]),
        ('parametrize(argnames=("a", "b"), argvalues=[(f(1), [2 ** 3])])', ["a=f(1), b=[2 ** 3]"]),
        ('parametrize("a,b", CASES)', ["a=1, b=2", "a=3, b=4"]),
        ('parametrize("a,b", [*CASES, ONE, *MORE])', ["a=1, b=2", "a=3, b=4", "a=7, b=8", "a=5, b=6"]),
        ('parametrize("a,b", CASES + MORE, indirect=False)', ["a=1, b=2", "a=3, b=4", "a=5, b=6"]),
        ('parametrize("a,b", TABLE.items())', ["a=1, b=2", "a='a', b=[3]"]),
        ('parametrize("a,b", [(1, 2), pytest.param(3, 4, marks=pytest.mark.xfail)])', ["a=1, b=2"]),
        ('parametrize("a,b", [(1, 2), pytest.param(3, 4, marks=BROKEN)])', ["a=1, b=2"]),
        ('parametrize("a,b", [pytest.param(1, 2, marks=pytest.mark.slow("skip?"))])', ["a=1, b=2"]),
        (
            'parametrize("a", [1, 2])\n@pytest.mark.parametrize("b", [pytest.param((3,)), 4])',
            ["a=1, b=(3,)", "a=1, b=4", "a=2, b=(3,)", "a=2, b=4"],
        ),
        ('parametrize("a", range(2, 0, -1))\n@pytest.mark.parametrize("b", [lambda x: x])', None),
    ],
)
def test_cases(decorators: str, cases: list[str] | None) -> None:
    text = f"import pytest\n{NAMED}@pytest.mark.{decorators}\ndef test_a(a, b):\n    assert f(a) == b\n"
    setup, checks = read_tests(text)
    expected = cases or ["a=2, b=lambda x: x", "a=1, b=lambda x: x"]
    assert [check.code for check in checks] == [f"test_a({case})" for case in expected]
    assert "parametrize" not in setup
    assert "def test_a(a, b):" in setup


def test_methods_have_the_cases_of_their_class_too() -> None:
    text = """
import pytest
both = pytest.mark.parametrize("a", [1, 2])
@both
class TestF:
    @pytest.mark.slow
    @pytest.mark.parametrize("b", [3])
    def test_a(self, a, b): assert f(a) == b
class TestG:
    def setup_method(self): self.x = 1
    @both
    def test_b(self, a): assert f(a) == self.x
class TestH(TestG):
    pass
"""
    setup, checks = read_tests(text)
    codes = [check.code for check in checks]
    assert codes[:2] == ["TestF().test_a(b=3, a=1)", "TestF().test_a(b=3, a=2)"]
    for name, code in zip(("TestG", "TestG", "TestH", "TestH"), codes[2:], strict=True):
        assert f"_case = {name}()" in code
        assert "_case.test_b(a=" in code
    assert "@" not in setup


def test_of_tests_with_one_name_the_last_is_run() -> None:
    first = "@pytest.mark.parametrize('a', [1])\ndef test_a({0}a):\n    assert f(a)\n"
    both = first + first.replace("a)", "a, b)").replace("'a', [1]", "'a, b', [(1, 2)]")
    _, checks = read_tests("import pytest\n" + both.format(""))
    assert [check.code for check in checks] == ["test_a(a=1, b=2)"]
    _, checks = read_tests("import pytest\nclass TestA:\n" + textwrap.indent(both.format("self, "), "    "))
    assert [check.code for check in checks] == ["TestA().test_a(a=1, b=2)"]


def test_unused_fixtures_are_no_tests_and_skipped_tests_neither() -> None:
    text = """
import pytest, unittest
broken = pytest.mark.xfail(reason="known")
@pytest.fixture
def test_data(): return 1
@broken
def test_a(): assert False
@pytest.mark.skipif(True, reason="")
@pytest.mark.parametrize("a", computed())
def test_b(a): assert False
@pytest.mark.parametrize("a", ["skip"])
def test_c(a): assert f(a) == a
class Broken(unittest.TestCase):
    @unittest.expectedFailure
    def test_d(self): assert False
if __name__ == "__main__":
    pytest.main()
"""
    setup, checks = read_tests(text)
    assert [check.code for check in checks] == ["test_c(a='skip')"]
    assert "test_data" not in setup


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('@pytest.mark.parametrize("a", make())\ndef test_a(a): ...', r"its cases are computed \(make\(\)\)"),
        ('@pytest.mark.parametrize("a", UNKNOWN)\ndef test_a(a): ...', "its cases are computed"),
        ('X = [1]\nX = [2]\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...', "its cases are computed"),
        ('X = [1]\nX += [2]\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...', "its cases are computed"),
        ('X = [1]\nX.append(2)\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...', "its cases are computed"),
        ('X = [1]\nX[0] = 2\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...', "its cases are computed"),
        ('X = [1]\nif f:\n    X = [2]\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...', "its cases are computed"),
        (
            'X = [1]\ndef more():\n    global X\n    X = [2]\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...',
            "its cases are computed",
        ),
        ('X = [*X]\n@pytest.mark.parametrize("a", X)\ndef test_a(a): ...', "its cases are computed"),
        ('@pytest.mark.parametrize("a", X.items())\ndef test_a(a): ...', "its cases are computed"),
        ('X = {**Y}\n@pytest.mark.parametrize("a", X.items())\ndef test_a(a): ...', "its cases are computed"),
        ('@pytest.mark.parametrize("a", range(n))\ndef test_a(a): ...', "its cases are computed"),
        ('@pytest.mark.parametrize("a", range(1, 2, 0))\ndef test_a(a): ...', "its cases are computed"),
        (
            '@pytest.mark.parametrize("a,b", [(1, 2), (3,)])\ndef test_a(a, b): ...',
            "its case .* is not one value for each",
        ),
        ('@pytest.mark.parametrize("a,b", [(*x, 2)])\ndef test_a(a, b): ...', "is not one value for each"),
        ('@pytest.mark.parametrize("a,b", [make()])\ndef test_a(a, b): ...', "is not one value for each"),
        ("@pytest.mark.parametrize(NAMES, [1])\ndef test_a(a): ...", "the names of its parametrize are no text"),
        ("@pytest.mark.parametrize({[]}, [1])\ndef test_a(a): ...", "the names of its parametrize are no text"),
        ('@pytest.mark.parametrize("a", [1], indirect=True)\ndef test_a(a): ...', "is indirect"),
        ('@pytest.mark.parametrize("a", [1], True)\ndef test_a(a): ...', "is indirect"),
        ('@pytest.mark.parametrize("a", [1], **more)\ndef test_a(a): ...', "is indirect"),
        (
            'class TestA:\n    X = [1]\n    @pytest.mark.parametrize("a", X)\n    def test_a(self, a): ...',
            "its decorators use X of its class",
        ),
        ("if f:\n    def test_a(): assert f(1)", "test_a cannot be run: it is inside of a block"),
        ("class TestA:\n    class TestB:\n        def test_a(self): ...", "TestB cannot be run: it is inside"),
        ('@pytest.mark.parametrize("a")\ndef test_a(a): ...', "lacks names or cases"),
        ('@pytest.mark.parametrize("a", [1])\ndef test_a(b): ...', "it does not take a"),
        (
            '@pytest.mark.parametrize("a", [1])\ndef test_a(a, tmp_path): ...',
            "test_a cannot be run: it takes arguments",
        ),
        (
            '@pytest.mark.parametrize("a", [1])\n@pytest.mark.parametrize("a", [1])\ndef test_a(a): ...',
            "parametrized twice",
        ),
        ('@pytest.mark.parametrize("a", range(2000))\ndef test_a(a): ...', "more than 1,000 cases"),
        (
            "import unittest\nclass T(unittest.TestCase):\n"
            '    @pytest.mark.parametrize("a", [1])\n    def test_a(self, a): ...',
            "methods of a TestCase get no arguments",
        ),
        ('@pytest.mark.usefixtures("x")\ndef test_a(): ...', "it uses fixtures"),
        ("@pytest.fixture(autouse=True)\ndef prepared(): ...", "prepared, which sets up tests, cannot be run"),
        ('@pytest.mark.parametrize("a", [1])\nasync def test_a(a): ...', "it is asynchronous"),
        ("pytestmark = pytest.mark.skip", "marks all tests of it or of a class with pytestmark"),
        ("class TestA:\n    pytestmark: list = [pytest.mark.skip]\n    def test_a(self): ...", "with pytestmark"),
        ("def test_a(): pytest.skip('no')", r"uses pytest\.skip, which the sandbox does not have"),
        ("from pytest import importorskip", r"uses pytest\.importorskip"),
        ("import pytest as pt\ndef test_a():\n    with pt.warns(UserWarning): ...", r"uses pytest\.warns"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_is_understood(text: str, words: str) -> None:
    with pytest.raises(TaskError, match=words) as caught:
        read_tests(f"import pytest\nassert f(2) == 2\n{text}\n")
    assert caught.value.hint


def test_all_of_pytest_may_be_used_where_it_is_allowed() -> None:
    text = (
        "import pytest\n@pytest.mark.parametrize('a', [1])\ndef test_a(a):\n    with pytest.warns(UserWarning): f(a)\n"
    )
    assert [check.code for check in read_tests(text, allow_imports=["pytest"])[1]] == ["test_a(a=1)"]


def test_prompts_show_a_parametrized_test_once_with_its_cases() -> None:
    text = "@pytest.mark.parametrize('a', [1, 2])\ndef test_a(a):\n    assert f(a)\ndef test_b():\n    assert f(3)\n"
    setup, checks = read_tests(text)
    shown = shown_examples(Spec(statement="f", entry_point="f", examples=checks, setup=setup))
    assert shown == "def test_a(a):\n    assert f(a)\ntest_a(a=1)\ntest_a(a=2)\ndef test_b():\n    assert f(3)"


def test_what_cases_are_made_with_is_not_what_is_asked_for() -> None:
    text = (
        "@pytest.mark.parametrize('a', [Point(1, 2), Point(3, 4)])\ndef test_a(a): assert length(a)\n"
        "class TestB:\n    @pytest.mark.parametrize('a', [Point(1, 2)])\n    def test_b(self, a): assert length(a)\n"
    )
    task = read_task("Write a function called length", tests=read_tests(text))
    assert task.entry_point == "length"
    assert len(task.examples) == 3
