"""How the roles' answers are read, and how evidence is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.contracts import Failure, Spec
from leafwise.agents.given import parse_code
from leafwise.agents.prompt_text import failure_text
from leafwise.agents.roles import read_checks
from leafwise.runtime.sandbox_contracts import Check

ADD = Spec(statement="Add.", entry_point="add", examples=(Check(code="add(2, 3)", expected="5"),))


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("assert add(1, 2) == 3", ("add(1, 2)", "3")),
        ("    assert add(1, 2) == 3  # a usual case", ("add(1, 2)", "3")),
        ("assert add(1, 2) == 3, 'wrong'", ("add(1, 2)", "3")),
        ("assert add(-1, 1.5) == -0.5", ("add(-1, 1.5)", "-0.5")),
        ("assert add([], [1]) == [1]", ("add([], [1])", "[1]")),
        # not usable
        ("assert add(2, 3) == 5", None),  # a visible example already
        ("assert add(1, 2)", None),
        ("assert add(1, 2) != 3", None),
        ("assert add(1, 2) == add(2, 1)", None),
        ("assert add(1, 2) == 1 + 2", None),
        ("assert add(x, 2) == 3", None),
        ("assert add() == 0", None),
        ("assert add(a=1, b=2) == 3", None),
        ("assert sub(1, 2) == 3", None),
        ("assert 3 == add(1, 2)", None),
        ("add(1, 2) == 3", None),
        ("assert add(1, 2) ==", None),  # cut by the token limit
        ("- assert add(1, 2) == 3", None),
        ("```python", None),
        ("\x00", None),
        ("", None),
    ],
)
def test_a_check_is_a_call_with_literals_and_a_literal_value(line: str, check: tuple[str, str] | None) -> None:
    expected = () if check is None else (Check(code=check[0], expected=check[1]),)
    assert read_checks(line, ADD, 4) == expected


def test_checks_are_few_and_different() -> None:
    answer = "```python\n" + "\n".join(f"assert add({i // 2}, 0) == {i}" for i in range(20))
    found = read_checks(answer, ADD, 3)
    # of contradicting checks of the same call the first is kept
    assert [(c.code, c.expected) for c in found] == [("add(0, 0)", "0"), ("add(1, 0)", "2"), ("add(2, 0)", "4")]


def test_without_a_name_there_are_no_checks() -> None:
    assert read_checks("assert add(1, 2) == 3", Spec(statement="x"), 4) == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("add(1,)= '[]{}\\\n", max_size=40).map("assert add(1".__add__)))
def test_any_answer_of_the_tester_can_be_read(answer: str) -> None:
    read_checks(answer, ADD, 4)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure(code="f(1)", expected="2", observed="3"), "It fails at `f(1)`: expected 2, got 3."),
        (
            Failure(code="f(1)", expected="2", observed="TypeError: no", line=4),
            "It fails at `f(1)`: expected 2, got TypeError: no (raised at line 4).",
        ),
    ],
)
def test_failures_in_the_words_of_the_repair_prompt(failure: Failure, text: str) -> None:
    assert failure_text(failure) == text


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ('def f(x):\n    """Do."""', True),
        ("from typing import List\n\n\ndef f(x):", True),
        ("import math\n\ndef f(x):", True),
        ("class A:\n    ...", True),
        ("Write a function f(x).", False),
        ("Write this:\n\n\n\ndef f(x):", False),
        ("import the data from a list of numbers and return the largest", False),
        ("from a list of numbers", False),
        ("async def f(x):", True),
        ("define f", False),
        ("", False),
    ],
)
def test_code_and_prose_are_told_apart(statement: str, code: bool) -> None:
    assert (parse_code(statement) is not None) is code
