"""Examples that a user gives: conditions of any kind, and what text may have."""

from __future__ import annotations

import pytest

from leafwise.agents.given_examples import read_example

READ = {
    "f(2, 3) == 5": [("f(2, 3)", "5")],
    'assert f("a") == "b", "wrong"': [('f("a")', '"b"')],
    "`f(2) == [4]`": [("f(2)", "[4]")],
    "f('abc') == 'abc'.upper()": [("f('abc')", "'abc'.upper()")],
    "assert set(f([1])) == set([1])": [("set(f([1]))", "set([1])")],
    "assert math.isclose(f(2), 3.0)": [("assert math.isclose(f(2), 3.0)", None)],
    "math.isclose(f(2), 3.0)": [("assert math.isclose(f(2), 3.0)", None)],
    "isinstance(f(2), int)": [("assert isinstance(f(2), int)", None)],
    "assert not f(2)": [("assert not f(2)", None)],
    "assert f(2)": [("assert f(2)", None)],
    "f(2) != 3": [("assert f(2) != 3", None)],
    "f(2)[0] == 3": [("assert f(2)[0] == 3", None)],
    "5 == f(2)": [("assert 5 == f(2)", None)],
    "f(2) == 3 or f(2) == 4": [("assert f(2) == 3 or f(2) == 4", None)],
    "f(1) == 2 and f(2) != 4": [("f(1)", "2"), ("assert f(2) != 4", None)],
    "f(\n2) == (1 +\n2)": [("f(2)", "1 + 2")],
    # the other forms
    "f(1) == 2, f(2) == 4": [("f(1)", "2"), ("f(2)", "4")],
    "assert f(1) == 2, f(2) == 4": [("f(1)", "2"), ("f(2)", "4")],
    "f(2) is 3": [("f(2)", "3")],
    "f(2) == true": [("f(2)", "True")],
    ">>> f(1)\n2": [("f(1)", "2")],
    "s = Stack(); s.size == 0": [("s = Stack()\nassert s.size == 0", None)],
    "xs = [3, 1]; f(xs); xs == [1, 3]": [("xs = [3, 1]\nf(xs)\nassert xs == [1, 3]", None)],
}
NOT_READ = (
    "f(2)",  # its value may have been forgotten
    "f(x) == 3",  # x is nowhere
    "await f(2) == 3",
    "f(2) == 3, 1",
    "assert (f(2), 3)",  # always true
    "len('abc') == 3",
    "f(2) ==",
)


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=list(READ))
def test_read(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert [(check.code, check.expected) for check in read_example(text)] == expected


@pytest.mark.parametrize("text", NOT_READ)
def test_not_read(text: str) -> None:
    assert read_example(text) == []
