"""Running candidates in the real sandbox: what one hangs on must not hide what it does elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leafwise.agents.checking import UNTRIED, examine
from leafwise.agents.contracts import Spec
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check

pytestmark = pytest.mark.sandbox
SPEC = Spec(
    statement="The number itself.", entry_point="same", examples=(Check(code="same(1)", expected="1"),), signature=""
)
SAME = "def same(n):\n    if n == 7:\n        {}\n    return n\n"
LOOP = "while True: int('1')"
IN_C = "sum(range(10 ** 12))"
INPUTS = ("same(2)", "same(7)", "same(3)", "same(-1)")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(workers=1) as opened:
        yield opened


@pytest.mark.parametrize(("hang", "seen"), [(LOOP, "raises TimeoutError"), (IN_C, "no answer")])
def test_a_hang_on_one_input_hides_no_other(sandbox: Sandbox, hang: str, seen: str) -> None:
    evidence = examine(SAME.format(hang), SPEC, sandbox, inputs=INPUTS)
    assert evidence.passes
    assert evidence.behaviour == ("returns 2", seen, "returns 3", "returns -1")


def test_a_hang_on_a_generated_check_fails_that_one(sandbox: Sandbox) -> None:
    checks = [Check(code=f"same({n})", expected=str(n)) for n in (6, 7, 8)]
    evidence = examine(SAME.format(LOOP), SPEC, sandbox, checks=checks, inputs=("same(9)",))
    assert evidence.check_results == (True, False, True)
    assert evidence.behaviour == ("returns 9",)


def test_a_hang_on_a_visible_example_settles_it(sandbox: Sandbox) -> None:
    spec = SPEC.model_copy(update={"examples": (Check(code="same(7)", expected="7"),)})
    evidence = examine(SAME.format(LOOP), spec, sandbox, inputs=("same(2)",))
    assert evidence.loads
    assert not evidence.passes
    assert evidence.behaviour == (UNTRIED,)
    assert evidence.failure is not None
    assert "CPU limit of 3 s" in evidence.failure.observed
