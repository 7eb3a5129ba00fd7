from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_levels import open_or_skip

from leafwise.benchmarks import self_check
from leafwise.benchmarks.contracts import ProblemSet
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.self_check import check_environment
from leafwise.benchmarks.self_check_programs import BODIES, SPECIAL, bad_module
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

WHOLE = read_problem_set("humaneval")
FEW = WHOLE.model_copy(update={"problems": WHOLE.problems[:6]})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


def changed(place: int, **update: object) -> ProblemSet:
    problems = list(FEW.problems)
    problems[place] = problems[place].model_copy(update=update)
    return FEW.model_copy(update={"problems": tuple(problems)})


def with_plus(check: str) -> ProblemSet:
    first = FEW.problems[0]
    plus = first.suites[0].model_copy(update={"name": "plus", "checks": (Check(code=check),)})
    return changed(0, suites=(first.suites[0], plus)).model_copy(update={"sha256": check})


@pytest.mark.sandbox
def test_humaneval_passes(sandbox: Sandbox) -> None:
    check_environment(WHOLE, sandbox)


@pytest.mark.sandbox
def test_a_reference_that_fails_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(BenchmarkError, match=r"1 reference solutions fail here: HumanEval/3 \(failed: AssertionError"):
        check_environment(changed(3, reference="def below_zero(operations):\n    return 7\n"), sandbox)


@pytest.mark.sandbox
@pytest.mark.parametrize("place", [1, 2, 4], ids=lambda place: list(BODIES)[place])
def test_tests_that_accept_anything_are_named(sandbox: Sandbox, place: int) -> None:
    suite = FEW.problems[place].suites[0].model_copy(update={"checks": (Check(code="1"),)})
    with pytest.raises(BenchmarkError, match=f"known-bad programs passed: HumanEval/{place} "):
        check_environment(changed(place, suites=(suite,)), sandbox)


@pytest.mark.sandbox
def test_a_function_without_effect_may_be_right(sandbox: Sandbox) -> None:
    name = FEW.problems[3].entry_point
    suite = FEW.problems[3].suites[0].model_copy(update={"checks": (Check(code=f"assert {name}([]) is None"),)})
    check_environment(changed(3, reference=f"def {name}(xs):\n    xs.clear()\n", suites=(suite,)), sandbox)


def test_a_judge_that_is_always_content_is_refused() -> None:
    content = ScriptedSandbox(lambda program: Verdict(status=Status.PASSED, level=SandboxLevel.SCRIPTED))
    with pytest.raises(BenchmarkError, match="known-bad programs passed"):
        check_environment(FEW, content)


@pytest.mark.parametrize("kind", SPECIAL)
def test_each_special_program_counts(kind: str) -> None:
    forged = bad_module(kind, FEW.problems[0].entry_point)
    good = {problem.reference for problem in FEW.problems} | {forged}
    loop = bad_module("infinite loop", FEW.problems[0].entry_point)

    def verdict(program: Program) -> Verdict:
        wrong = Status.TIMEOUT if program.source == loop else Status.FAILED
        return Verdict(status=Status.PASSED if program.source in good else wrong, level=SandboxLevel.SCRIPTED)

    with pytest.raises(BenchmarkError, match=f"1 known-bad programs passed: HumanEval/0 .{kind}"):
        check_environment(FEW, ScriptedSandbox(verdict))


@pytest.mark.sandbox
def test_references_on_plus_are_remembered_once_they_passed(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_check, "cache_dir", lambda: tmp_path)
    with pytest.raises(BenchmarkError, match=r"HumanEval/0 \(HumanEval\+, failed"):
        check_environment(with_plus("assert False"), sandbox)
    assert not list(tmp_path.iterdir())
    good = with_plus("assert True")
    check_environment(good, sandbox)
    (mark,) = tmp_path.iterdir()
    assert mark.read_bytes() == Path("/proc/sys/kernel/random/boot_id").read_bytes()
    programs = ScriptedSandbox(lambda program: Verdict(status=Status.FAILED, level=sandbox.level))
    with pytest.raises(BenchmarkError, match="reference"):  # another level, so nothing is remembered, base included
        check_environment(good, programs)
