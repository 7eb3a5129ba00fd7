"""Plans from a generalist's answer, and from what drafts take for granted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.contracts import Node, NodeState, Spec
from leafwise.agents.plans import implied_stubs, read_plan, split_node, stub_text
from leafwise.runtime.sandbox_contracts import Check

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")


# --- reading a plan --------------------------------------------------------------------------------------------------


def test_stubs_become_specs_and_bodies_are_dropped() -> None:
    answer = '''Here are the helper functions:

```python
def is_prime(n: int) -> bool:
    """Whether n is prime. is_prime(7) == True"""
    return secret(n)

def count_digits(n: int) -> int:
    ...
```
'''
    plan = read_plan(answer, "main", [], 4)
    assert plan.problem == ""
    assert plan.stubs == (
        Spec(
            statement="Whether n is prime. is_prime(7) == True",
            entry_point="is_prime",
            signature="def is_prime(n: int) -> bool:",
            examples=(Check(code="is_prime(7)", expected="True"),),
        ),
        Spec(statement="count digits", entry_point="count_digits", signature="def count_digits(n: int) -> int:"),
    )


@pytest.mark.parametrize(
    ("answer", "names", "problem"),
    [
        ("", [], "the answer holds no code that parses"),
        ("I would split it into two functions.", [], "the answer holds no code that parses"),
        ("```python\nx = 1\n```", [], "the answer holds no function"),
        ("class A:\n    def f(self): ...", [], "the answer holds no function"),
        ("def f(x): ...", ["f"], ""),
        ("def main(x): ...", [], "main: the name is taken"),
        ("def other(x): ...\ndef f(x): ...", ["f"], "other: the name is taken"),
        ("def f(x): ...\ndef f(y): ...", ["f"], "f: the name is taken"),
        ("def f(): ...", [], "f: takes no argument, so it cannot be a pure function of the input"),
        ("def f(*xs): ...\ndef g(*, x): ...\ndef h(x, /): ...", ["f", "g", "h"], ""),
        ("def f(**xs): ...", [], "f: takes no argument, so it cannot be a pure function of the input"),
        ("def a(x): ...\ndef b(x): ...\ndef c(x): ...\ndef d(x): ...", ["a", "b", "c"], "d: more than 3 helpers"),
        ("def f(x, n=SIZE, *, k=other(2)): ...", [], "f: its defaults are unknown: SIZE, other"),
        ("def f(x, n=-1, m=math.inf, *, key=len, far=inf, fill=lambda i: i): ...", ["f"], ""),
        ("def f(x): ...\ndef g(x", ["f"], ""),  # cut by the token limit
        ("def f(x):\n    '''Doc'''\n\ndef g(x):\n    '''Do", ["f"], ""),
        ("1. helpers:\n\ndef f(x): ...\n\nThat is all.", ["f"], ""),
    ],
)
def test_what_is_dropped_is_said(answer: str, names: list[str], problem: str) -> None:
    plan = read_plan(answer, "main", ["other"], 3)
    assert ([stub.entry_point for stub in plan.stubs], plan.problem) == (names, problem)


def test_defaults_may_name_what_the_given_code_has() -> None:
    assert [stub.entry_point for stub in read_plan("def f(x, n=SIZE): ...", "main", [], 4, "SIZE = 3").stubs] == ["f"]


def test_types_of_given_code_are_known() -> None:
    given = "from shop import Basket\nimport shop.tax\nclass Point: ...\ndef helper(x): ..."
    assert read_plan("def a(x: shop): ...", "main", [], 4, given).problem == "a: its types are unknown: shop"
    stubs = (
        "def a(b: Basket): ...\ndef c(p: list[Point]) -> shop.tax.Rate: ...\ndef d(x: Wish): ...\ndef e(x: helper): ..."
    )
    plan = read_plan(stubs, "main", [], 4, given)
    assert [stub.entry_point for stub in plan.stubs] == ["a", "c"]
    assert plan.problem == "d: its types are unknown: Wish; e: its types are unknown: helper"
    assert [stub.entry_point for stub in read_plan(stubs, "main", [], 4).stubs] == []


# --- helpers that are taken for granted ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "signatures"),
    [
        ("def f(n):\n    return is_prime(n) and n", ["def is_prime(n):"]),
        ("def f(n):\n    return g(n, n) + h(n + 1)", ["def g(arg1, arg2):", "def h(arg1):"]),
        ("def f(n):\n    return g(n) + g(n + 1)", ["def g(n):"]),
        ("def f(n):\n    return len(str(n))", []),
        ("def f(n):\n    return f(n - 1)", []),
        ("def f(n):\n    return g()", []),  # a helper without arguments would be no function of the input
        ("from math import sqrt\nimport os.path as p\ndef f(n):\n    return sqrt(n) + p(n)", []),
        ("def f(key):\n    g = key\n    return g(1) + key(2)", []),
        ("def f(n):\n    class A: ...\n    return A(n)", []),
        ("def f(n):\n    return [g(i) for g in n for i in n]", []),
        ("def f(n):\n    return taken(n)", []),
        ("def f(n):\n    return a(n) + b(n) + c(n) + d(n)", ["def a(n):", "def b(n):", "def c(n):"]),
    ],
)
def test_undefined_calls_are_helpers(source: str, signatures: list[str]) -> None:
    assert sorted(s.signature or "" for s in implied_stubs(source, ["taken"], 3)) == signatures


def test_implied_helpers_are_described_by_their_name() -> None:
    (stub,) = implied_stubs("def f(n):\n    return sum_of_digits(n)", [], 3)
    assert (stub.entry_point, stub.statement) == ("sum_of_digits", "sum of digits")


def test_a_parent_sees_signatures_and_docstrings_only() -> None:
    specs = [
        Spec(statement="One.\n", entry_point="a", signature="def a(x):"),
        Spec(statement="No signature", entry_point="b"),
        Spec(statement="Two.", entry_point="c", signature="def c(x) -> int:"),
    ]
    text = stub_text(specs)
    assert text == 'def a(x):\n    """One."""\n    ...\n\ndef c(x) -> int:\n    """Two."""\n    ...'


ANSWERS = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [
                *(
                    "```python",
                    "```",
                    "def a(x):",
                    "def b(",
                    "    ...",
                    "    '''\\ud800'''",
                    "    '''Do. a(1) == 2'''",
                    "x = 1",
                ),
                *(
                    "def a(x: 'list[', *y, z=1) -> int: ...",
                    "\x00",
                    "\ud800",
                    "text",
                    "async def c(x): ...",
                    "'''",
                    "def d(x):",
                ),
            ]
        ),
        max_size=10,
    ).map("\n".join),
)


@quiet
@settings(max_examples=200, deadline=None)
@given(ANSWERS)
def test_reading_a_plan_never_raises(answer: str) -> None:
    plan = read_plan(answer, "main", ["taken"], 2)
    names = [stub.entry_point for stub in plan.stubs]
    assert len(names) == len(set(names)) <= 2
    assert not {"main", "taken"} & set(names)
    assert plan.stubs or plan.problem
    stub_text(plan.stubs)


def test_stubs_with_types_that_nobody_knows_are_dropped() -> None:
    answer = "def parse(line: str) -> Record:\n    ...\n\ndef size(x: dict[str, list[int]] | None) -> int:\n    ...\n"
    plan = read_plan(answer, "f", (), 4)
    assert [stub.entry_point for stub in plan.stubs] == ["size"]
    assert plan.problem == "parse: its types are unknown: Record"


def test_helpers_may_use_what_their_parent_may() -> None:
    spec = Spec(
        statement="s", entry_point="f", allow_imports=("numpy",), given="import math", context="from u import g"
    )
    nodes = split_node(Node(id="root.2", spec=spec, depth=1), [Spec(statement="t", entry_point="h")])
    child = nodes["root.2.1"]
    assert (child.depth, nodes["root.2"].children, nodes["root.2"].state) == (2, ("root.2.1",), NodeState.SPLIT)
    assert (child.spec.allow_imports, child.spec.given, child.spec.context) == (
        spec.allow_imports,
        spec.given,
        spec.context,
    )
    assert split_node(nodes["root.2"], []) == {}
