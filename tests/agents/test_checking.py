"""Running candidates in the real sandbox: what one hangs on must not hide what it does elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leafwise.agents.checking import UNTRIED, examine
from leafwise.agents.contracts import Spec
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits

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


def test_a_function_with_a_builtins_name_is_the_one_that_runs(sandbox: Sandbox) -> None:
    spec = SPEC.model_copy(update={"entry_point": "sum", "examples": (Check(code="sum(10, 15)", expected="25"),)})
    evidence = examine("def sum(a, b):\n    return a + b\n", spec, sandbox, inputs=("sum(1, 2)", "sum(1)"))
    assert evidence.passes
    assert evidence.behaviour == ("returns 3", "raises TypeError")


def test_what_hangs_on_everything_has_soon_had_its_time(sandbox: Sandbox) -> None:
    inputs = tuple(f"same({n})" for n in range(2, 66))
    evidence = examine(SAME.format(LOOP).replace("n == 7", "n != 1"), SPEC, sandbox, inputs=inputs)
    assert evidence.passes
    assert set(evidence.behaviour) == {"raises TimeoutError"}, "not one was left untried within three seconds"


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


@pytest.mark.parametrize(
    "bodies",
    [
        ("set(xs)", "{x for x in reversed(sorted(xs))}"),
        ("{x: 1 for x in xs}", "{x: 1.0 for x in reversed(xs)}", "{x: True for x in sorted(xs)}"),
        ("[sum(xs), (2, 3)]", "[float(sum(xs)), (2.0, 3)]"),
        ("len(xs) > 1", "int(len(xs) > 1)"),
    ],
)
def test_equal_values_are_equal_behaviour(sandbox: Sandbox, bodies: tuple[str, ...]) -> None:
    spec = Spec(statement="", entry_point="f")
    sources = [f"def f(xs):\n    return {body}\n" for body in bodies]
    inputs = ("f([0, 16])", "f([16, 0])", "f([])")
    seen = {examine(source, spec, sandbox, inputs=inputs).behaviour for source in sources}
    assert len(seen) == 1, seen


@pytest.mark.parametrize(("one", "other"), [("[1, 2]", "(1, 2)"), ("'1'", "1"), ("{1: 2}", "{1, 2}"), ("0.5", "0")])
def test_other_values_are_other_behaviour(sandbox: Sandbox, one: str, other: str) -> None:
    spec = Spec(statement="", entry_point="f")
    first, second = (examine(f"def f():\n    return {v}\n", spec, sandbox, inputs=("f()",)) for v in (one, other))
    assert first.behaviour != second.behaviour


def test_a_candidate_that_sleeps_gets_no_more_time_than_it_has(sandbox: Sandbox) -> None:
    source = "import time\n" + SAME.format("time.sleep(60)")
    evidence = examine(source, SPEC, sandbox, inputs=INPUTS, limits=Limits(wall_seconds=1.0))
    assert evidence.passes
    assert evidence.behaviour == ("returns 2", "no answer", UNTRIED, UNTRIED)
