from __future__ import annotations

from collections.abc import Iterator

import pytest

from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, TraceLine

pytestmark = pytest.mark.sandbox
LARGEST = "def largest(xs):\n    best = 0\n    for x in xs:\n        best = max(best, x)\n    return best\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(workers=1) as opened:
        yield opened


def traced(sandbox: Sandbox, source: str, *checks: Check, cpu_seconds: float = 5.0) -> tuple[CheckResult, ...]:
    program = Program(source=source, checks=checks, trace=True)
    return sandbox.run(program, Limits(cpu_seconds=cpu_seconds)).checks


def test_the_last_lines_and_what_they_changed(sandbox: Sandbox) -> None:
    (result,) = traced(sandbox, LARGEST, Check(code="largest([-2])", expected="-2"))
    assert result.observed == "0"
    assert result.trace == (
        TraceLine(line=2, function="largest", values=(("best", "0"),)),
        TraceLine(line=3, function="largest", values=(("x", "-2"),)),
        TraceLine(line=4, function="largest"),
        TraceLine(line=3, function="largest"),
        TraceLine(line=5, function="largest", values=(("return", "0"),)),
    )


def test_only_of_the_check_that_failed(sandbox: Sandbox) -> None:
    checks = [Check(code="largest([3])", expected="3"), Check(code="largest([None])", expected="0")]
    passed, failed = traced(sandbox, LARGEST, *checks)
    assert passed.trace == ()
    assert failed.error is not None
    assert [line.line for line in failed.trace] == [2, 3, 4]
    assert not sandbox.run(Program(source=LARGEST, checks=(checks[1],))).checks[0].trace


def test_an_endless_loop_has_a_trace(sandbox: Sandbox) -> None:
    source = "def f(n):\n    while n:\n        n += 2\n"
    (result,) = traced(sandbox, source, Check(code="f(1)"), cpu_seconds=1)
    assert result.error is not None
    assert result.error.startswith("TimeoutError")
    assert {line.line for line in result.trace} == {2, 3}


def test_a_trace_is_bounded_whatever_the_values_are(sandbox: Sandbox) -> None:
    source = (
        "class Bad:\n    def __repr__(self):\n        raise SystemError\n"
        "def f():\n" + "".join(f"    v{n} = 'é' * 100_000\n" for n in range(40)) + "    b = [Bad()] * 9\n    return 1\n"
    )
    (result,) = traced(sandbox, source, Check(code="f()", expected="2"))
    assert result.trace
    assert len(result.trace) <= 12
    assert all(len(text) <= 80 for line in result.trace for _, text in line.values)


def test_a_candidate_that_lies_about_its_trace_only_has_none(sandbox: Sandbox) -> None:
    source = (
        "import leafwise.runtime.inside_trace as t\n"
        "t.Tracer.take = lambda self: [[1, 'f', [['x', 'y' * 1000]] * 100]] * 100\ndef f(): return 1\n"
    )
    (result,) = traced(sandbox, source, Check(code="f()", expected="2"))
    assert not result.passed
    assert len(result.model_dump_json()) < 100_000
