"""The remembering sandbox runs nothing twice, and says the same as the sandbox inside."""

from __future__ import annotations

from leafwise.benchmarks.simulate_sandbox import RememberingSandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

ONE, TWO, WRONG, HANGS = Check(code="1"), Check(code="2"), Check(code="wrong"), Check(code="hang")


def _verdict(program: Program) -> Verdict:
    """Checks pass but for `wrong`; `hang` ends the program."""
    results: list[CheckResult] = []
    for check in program.checks:
        if check == HANGS:
            return Verdict(status=Status.TIMEOUT, checks=tuple(results), level=SandboxLevel.SCRIPTED)
        results.append(CheckResult(passed=check != WRONG, observed=check.code))
        if check == WRONG and program.stop_at_first_failure:
            break
    status = Status.PASSED if all(result.passed for result in results) else Status.FAILED
    return Verdict(status=status, checks=tuple(results), level=SandboxLevel.SCRIPTED)


def _ask(box: RememberingSandbox, *checks: Check, source: str = "x = 1", stop: bool = False) -> Verdict:
    program = Program(source=source, checks=checks, stop_at_first_failure=stop)
    verdict = box.run(program)
    assert verdict == _verdict(program)
    assert box.submit(program).result(timeout=1) == verdict
    return verdict


def _ran(inner: ScriptedSandbox) -> list[tuple[str, ...]]:
    return [tuple(check.code for check in program.checks) for program in inner.programs]


def test_only_new_checks_are_run() -> None:
    inner = ScriptedSandbox(_verdict)
    box = RememberingSandbox(inner)
    _ask(box, ONE, TWO)
    assert _ask(box, TWO, WRONG, ONE).status is Status.FAILED
    assert _ask(box, ONE).status is Status.PASSED
    assert _ran(inner) == [("1", "2"), ("wrong",)]
    assert (box.asked, box.ran) == (6, 2)


def test_another_program_or_other_limits_are_new() -> None:
    inner = ScriptedSandbox(_verdict)
    box = RememberingSandbox(inner)
    _ask(box, ONE)
    _ask(box, ONE, source="x = 2")
    box.run(Program(source="x = 1", checks=(ONE,)), Limits(cpu_seconds=1))
    assert _ran(inner) == [("1",)] * 3


def test_a_program_without_checks_is_run_for_itself() -> None:
    inner = ScriptedSandbox(_verdict)
    assert _ask(RememberingSandbox(inner)).status is Status.PASSED
    assert len(inner.programs) > 0


def test_a_program_that_does_not_end_is_remembered_as_a_whole() -> None:
    inner = ScriptedSandbox(_verdict)
    box = RememberingSandbox(inner)
    _ask(box, ONE)
    assert _ask(box, ONE, HANGS, TWO).status is Status.TIMEOUT
    before = len(inner.programs)
    assert len(_ask(box, ONE, HANGS, TWO).checks) == 1
    assert len(inner.programs) == before


def test_where_the_first_failure_ends_it_the_whole_is_remembered() -> None:
    inner = ScriptedSandbox(_verdict)
    box = RememberingSandbox(inner)
    assert len(_ask(box, WRONG, ONE, stop=True).checks) == 1
    _ask(box, WRONG, ONE, stop=True)
    assert _ran(inner) == [("wrong", "1")]
