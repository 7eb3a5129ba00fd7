"""Checks and calls in a tester's text, whatever else the text is."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.asserts import calls_in, checks_in, most_proposed
from leafwise.agents.contracts import Spec
from leafwise.runtime.sandbox_contracts import Check

SPEC = Spec(statement="x", entry_point="f")

TEXTS = {
    "one": ("assert f(1) == 2", [("f(1)", "2")]),
    "a message": ("assert f(1) == 2, 'wrong'", [("f(1)", "2")]),
    "over lines": ("assert \n    f([1,\n2]) == 3\nassert\tf(2) == 4", [("f([1, 2])", "3"), ("f(2)", "4")]),
    "bare lines": ("assert\nf(1) == 2\nf(2) == 3", [("f(1)", "2"), ("f(2)", "3")]),
    "swapped": ("assert 'ab' == f('ba')", [("f('ba')", "'ab'")]),
    "is": ("assert f(1) is None", [("f(1)", "None")]),
    "not": ("assert not f(1)", [("f(1)", "False")]),
    "arithmetic": ("assert f(3) == 3 ** 2 + 1", [("f(3)", "3 ** 2 + 1")]),
    "cut": ("assert f(1) == 2\nassert f(2) == ", [("f(1)", "2")]),
    "twice": ("assert f(1) == 2\nassert f(1)==2", [("f(1)", "2")]),
    "a placeholder": ("assert ____ == f(1)", []),
    "another function": ("assert g(1) == 2", []),
    "a value that needs a name": ("assert f(1) == g(2)", []),
    "arguments that need a name": ("assert f(x) == 2", []),
    "no comparison": ("assert f(1)", []),
    "a huge power": ("assert f(1) == 10 ** 10 ** 10", []),
    "a huge text": ("assert f(1) == 'a' * 1000000000", []),
    "prose": ("assert that f works", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_checks_of_a_text(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(check.code, check.expected) for check in checks_in(text, SPEC)] == expected


def test_visible_examples_are_not_checked_again() -> None:
    shown = SPEC.model_copy(update={"examples": (Check(code='f("a")', expected="1"),)})
    assert [c.code for c in checks_in("assert f('a') == 2\nassert f('b') == 2", shown)] == ["f('b')"]


def test_calls_stand_anywhere() -> None:
    text = "____ == f(1), and self.f(2) or len(f([1, 2])) < f(x) f('a"
    assert calls_in(text, SPEC) == ("f(1)", "f([1, 2])")
    assert calls_in(text, Spec(statement="x")) == ()


def test_what_most_texts_propose_comes_first() -> None:
    one, two, three = (Check(code=f"f({n})", expected="0") for n in (1, 2, 3))
    assert most_proposed([[one, two], [two, two], [three]], 2) == (two, one)


FRAGMENTS = st.sampled_from(["assert", " ", "f(", ")", "==", "1", "[", "]", "\n", "'", "not", "**", "x"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["assert", " ", "f(", ")", "==", "1", "[", "]", "\n", "'", "not", "**", "x"])).map("".join)
)
def test_any_text_gives_only_what_parses(text: str) -> None:
    for check in checks_in(text, SPEC):
        assert check.expected is not None
        ast.parse(check.code, mode="eval")
        ast.parse(check.expected, mode="eval")
    for call in calls_in(text, SPEC):
        ast.parse(call, mode="eval")
