"""Answers that only write down an example's value: recognised, and never a pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leafwise.agents.checking import examine
from leafwise.agents.contracts import Spec
from leafwise.agents.hard_coded import is_hard_coded
from leafwise.agents.statement import describe
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check

HARD_CODED = (
    "def f(items, size):\n    return [[1, 2], [3]]",
    "def f(*values, **more):\n    x = 3\n    return x",
    "def f(x): return 1\ndef f(x): return 2",
)
COMPUTED = (
    "def f(items, size):\n    return [items]",
    "def f(x):\n    return [y for y in range(3) if y < x]",
    "def f(x):\n    def inner():\n        return x\n    return inner()",
    "def f(x):\n    return locals()['x']",
    "def f():\n    return 1",  # nothing to read
    "def g(x): return 1",  # another function
    "f = lambda x: 1",
    "def f(x: return",
)


@pytest.mark.parametrize("source", HARD_CODED)
def test_hard_coded(source: str) -> None:
    assert is_hard_coded(source, "f")


@pytest.mark.parametrize("source", COMPUTED)
def test_computed(source: str) -> None:
    assert not is_hard_coded(source, "f")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


@pytest.mark.sandbox
def test_it_passes_its_example_and_does_not_pass(sandbox: Sandbox) -> None:
    spec = Spec(statement="", entry_point="f", examples=(Check(code="f([1, 2, 3], 2)", expected="[[1, 2], [3]]"),))
    evidence = examine(HARD_CODED[0], spec, sandbox)
    assert (evidence.examples_passed, evidence.hard_coded, evidence.passes) == (1, True, False)
    assert "reads none of its parameters" in describe(evidence, "done")
