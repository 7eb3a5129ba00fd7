from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_levels import open_or_skip

from leafwise.benchmarks import self_check
from leafwise.benchmarks.contracts import Problem, ProblemSet, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.self_check import check_environment
from leafwise.benchmarks.self_check_programs import BODIES, SPECIAL, bad_module
from leafwise.benchmarks.self_check_trials import trial_problems
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


def mbpp(code: str, *asserts: str, setup: str = "", name: str = "f") -> ProblemSet:
    """One task."""
    suite = Suite(name="base", setup=setup, checks=tuple(Check(code=text) for text in asserts), cpu_seconds=3.0)
    problem = Problem(id="Mbpp/1", prompt="Do it.", entry_point=name, reference=code, suites=(suite,), completes=False)
    return ProblemSet(name="mbpp", source="file", sha256="0", problems=(problem,))


class FooledBy(ScriptedSandbox):
    """Knows what is right, but for some programs."""

    def __init__(self, *fooled: str, slow: bool = True, known: ProblemSet = FEW) -> None:
        trials = trial_problems()
        right = {problem.reference for problem in (*known.problems, *trials)} | set(fooled)
        loops = {bad_module("infinite loop", trials[0].entry_point, trials[0].reference)} if slow else set[str]()

        def verdict(program: Program) -> Verdict:
            wrong = Status.TIMEOUT if program.source in loops else Status.FAILED
            return Verdict(status=Status.PASSED if program.source in right else wrong, level=SandboxLevel.SCRIPTED)

        super().__init__(verdict)


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


NODE = "class Node:\n    def __init__(self, left):\n        self.left = left\n"
HEIGHT = f"{NODE}def f(node):\n    return 0 if node is None else 1 + f(node.left)\n"
WEAK: dict[str, ProblemSet] = {
    "asserts make objects of the reference's class": mbpp(HEIGHT, "assert f(Node(Node(None))) == 2"),
    "the setup makes them": mbpp(HEIGHT, "assert f(root) == 1", setup="root = Node(None)"),
    "all expect None": mbpp("def f(x):\n    pass\n", "assert f(1) is None", "assert f(2) is None"),
    "all ask for truth": mbpp("def f(x):\n    return x > 0\n", "assert f(3)", "assert f(4)"),
    "none is true": mbpp("def f(x):\n    return x > 0\n", "assert not f(-3)", "assert not f(-4)"),
    "the function is a lambda": mbpp("f = lambda x: x + 1", "assert f(1) == 2"),
    "the function has a builtin's name": mbpp(
        "def sum(a, b):\n    return a - b\n", "assert sum(3, 1) == 2", name="sum"
    ),
}


@pytest.mark.sandbox
@pytest.mark.parametrize("problems", WEAK.values(), ids=WEAK)
def test_tasks_need_not_have_strict_tests(
    sandbox: Sandbox, problems: ProblemSet, caplog: pytest.LogCaptureFixture
) -> None:
    check_environment(problems, sandbox)
    assert not caplog.records


@pytest.mark.sandbox
def test_each_task_with_weak_tests_may_stand_at_any_place(sandbox: Sandbox) -> None:
    (weak,) = WEAK["all ask for truth"].problems
    many = tuple(weak.model_copy(update={"id": f"Mbpp/{i}"}) for i in range(len(BODIES)))
    check_environment(WEAK["all ask for truth"].model_copy(update={"problems": many}), sandbox)


@pytest.mark.sandbox
def test_tests_that_accept_whatever_does_not_raise_are_told(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    check_environment(mbpp("def f(x):\n    return x\n", "f(1)"), sandbox)
    (record,) = caplog.records
    assert record.getMessage() == "the tests of 1 tasks accept whatever does not raise: Mbpp/1"


@pytest.mark.sandbox
def test_only_tasks_that_are_asked_need_a_reference_that_passes(sandbox: Sandbox) -> None:
    broken = changed(3, reference="def below_zero(operations):\n    return 7\n")
    check_environment(broken, sandbox, tasks=["HumanEval/1", "HumanEval/2"])
    with pytest.raises(BenchmarkError, match="HumanEval/3") as caught:
        check_environment(broken, sandbox, tasks=["HumanEval/2", "HumanEval/3"])
    assert "--leave-out-broken" in str(caught.value.hint)


SLOW = "def f(x):\n    for _ in range(10**9):\n        if process_time() > 0.3:\n            return x\n"
FAIR = mbpp(f"from time import process_time\n{SLOW}", "assert f(1) == 1")


@pytest.mark.sandbox
@pytest.mark.parametrize("limit", [0.1, 0.4], ids=["stopped by it", "near it"])
def test_a_slow_reference_raises_the_limit_of_its_problem(
    sandbox: Sandbox, limit: float, caplog: pytest.LogCaptureFixture
) -> None:
    (problem,) = FAIR.problems
    hurried = problem.model_copy(update={"suites": (problem.suites[0].model_copy(update={"cpu_seconds": limit}),)})
    quick = WEAK["the function is a lambda"].problems[0].model_copy(update={"id": "Mbpp/2"})
    found = check_environment(FAIR.model_copy(update={"problems": (hurried, quick)}), sandbox)
    assert found.left_out == {}
    slow, unchanged = found.problems.problems
    assert 4 * 0.3 <= slow.suites[0].cpu_seconds <= 10
    assert unchanged == quick
    assert "Mbpp/1" in caplog.text


@pytest.mark.sandbox
def test_what_is_broken_is_left_out_where_that_is_asked_for(sandbox: Sandbox) -> None:
    broken = changed(3, reference="def below_zero(operations):\n    return 7\n")
    anything = broken.problems[4].suites[0].model_copy(update={"checks": (Check(code="1"),)})
    problems = [*broken.problems[:4], broken.problems[4].model_copy(update={"suites": (anything,)}), broken.problems[5]]
    broken = broken.model_copy(update={"problems": tuple(problems)})
    found = check_environment(broken, sandbox, leave_out=True)
    assert [*found.left_out] == ["HumanEval/3", "HumanEval/4"]
    assert found.left_out["HumanEval/3"].startswith("failed: AssertionError")
    assert found.left_out["HumanEval/4"] == "its tests accept anything"
    with pytest.raises(BenchmarkError, match="1 reference solutions fail here: HumanEval/3") as caught:
        check_environment(broken, sandbox, tasks=["HumanEval/3"], leave_out=True)
    assert "without them no task is left" in str(caught.value.hint)
    with pytest.raises(BenchmarkError, match="known-bad programs passed: HumanEval/4"):
        check_environment(broken, sandbox, tasks=["HumanEval/3", "HumanEval/4"], leave_out=True)


def test_it_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    check_environment(FEW, FooledBy(), advance=lambda done, total: told.append((done, total)))
    total = 3 * (len(BODIES) + len(SPECIAL)) + 1 + 2 * len(FEW.problems)
    assert told == [(done, total) for done in range(1, total + 1)]


def test_a_judge_that_is_always_content_is_refused() -> None:
    content = ScriptedSandbox(lambda program: Verdict(status=Status.PASSED, level=SandboxLevel.SCRIPTED))
    with pytest.raises(BenchmarkError, match="known-bad programs passed"):
        check_environment(FEW, content, leave_out=True)


@pytest.mark.parametrize("kind", [*SPECIAL, *BODIES])
def test_each_bad_program_counts(kind: str) -> None:
    (first, *_) = trial_problems()
    times = 1 if kind == "infinite loop" else len(trial_problems())
    fooled = FooledBy(bad_module(kind, first.entry_point, first.reference))
    with pytest.raises(BenchmarkError, match=rf"{times} known-bad programs passed: trial of check\(\) .{kind}"):
        check_environment(FEW, fooled)


def test_a_loop_that_is_no_time_out_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="an infinite loop is no time-out but failed"):
        check_environment(FEW, FooledBy(slow=False))


def test_a_judge_that_is_never_content_is_refused() -> None:
    grim = ScriptedSandbox(lambda program: Verdict(status=Status.FAILED, detail="no", level=SandboxLevel.SCRIPTED))
    with pytest.raises(BenchmarkError, match="a right answer to a task of ours fails here: failed: no"):
        check_environment(FEW, grim)


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
    none = FEW.model_copy(update={"problems": ()})
    with pytest.raises(BenchmarkError, match="1 reference solutions"):  # others are asked, so nothing is remembered
        check_environment(good.model_copy(update={"problems": good.problems[:1]}), FooledBy(known=none))
    with pytest.raises(BenchmarkError, match="6 reference solutions"):  # another level, base included
        check_environment(good, FooledBy(known=none))
