from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_levels import open_or_skip

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import NO_CODE, Answer, judge_samples
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.problems_humaneval import humaneval_problem
from leafwise.runtime.errors import SandboxError
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

PROBLEMS = read_problem_set("humaneval").problems[:5]
FIRST = PROBLEMS[0]
HOSTILE = Path(__file__).resolve().parents[3] / "shared" / "hostile"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    yield from open_or_skip(SandboxLevel.FULL)


def hurried(problem: Problem, seconds: float) -> Problem:
    suites = tuple(suite.model_copy(update={"cpu_seconds": seconds}) for suite in problem.suites)
    return problem.model_copy(update={"suites": suites})


@pytest.mark.sandbox
def test_right_wrong_and_empty_answers(sandbox: Sandbox) -> None:
    good = [Answer(task_id=p.id, sample=0, module=p.reference) for p in PROBLEMS]
    bad = [Answer(task_id=p.id, sample=1, module=p.reference + "    return 5 / 0\nx = (\n") for p in PROBLEMS]
    empty = Answer(task_id=FIRST.id, sample=2, module=" \n")
    found = {(j.task_id, j.sample): j for j in judge_samples(PROBLEMS, [*good, *bad, empty], sandbox)}
    assert len(found) == 11
    assert all(found[p.id, 0].passed("base") and not found[p.id, 1].passed("base") for p in PROBLEMS)
    assert found[FIRST.id, 2].base.detail == NO_CODE


@pytest.mark.sandbox
def test_a_loop_is_run_again_alone_and_harms_nobody(sandbox: Sandbox) -> None:
    loop = f"def {FIRST.entry_point}(*args):\n    while True: pass\n"
    answers = [Answer(task_id=FIRST.id, sample=i, module=loop if i == 1 else FIRST.reference) for i in range(4)]
    found = list(judge_samples([hurried(FIRST, 0.3)], answers, sandbox))
    assert [j.sample for j in found] == [0, 2, 3, 1], "a time-out waits until nothing else runs"
    assert found[-1].base.status is Status.TIMEOUT
    assert found[-1].base.confirmed
    assert all(j.passed("base") for j in found[:3])


def test_a_time_out_that_is_not_seen_again_does_not_count() -> None:
    seen = iter([Status.TIMEOUT, Status.PASSED])
    box = ScriptedSandbox(lambda program: Verdict(status=next(seen), level=SandboxLevel.SCRIPTED))
    (found,) = judge_samples([FIRST], [Answer(task_id=FIRST.id, module="x = 1")], box)
    assert found.passed("base")
    assert not found.base.confirmed
    assert len(box.programs) == 2


def test_a_sandbox_that_fails_gives_no_verdict() -> None:
    with pytest.raises(SandboxError):
        list(judge_samples([FIRST], [Answer(task_id=FIRST.id, module="x = 1")], ScriptedSandbox([])))


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="no task Else/1"):
        list(judge_samples([FIRST], [Answer(task_id="Else/1", module="x")], ScriptedSandbox([])))


@pytest.mark.sandbox
def test_hostile_programs_among_honest_ones(sandbox: Sandbox) -> None:
    if not HOSTILE.is_dir():
        pytest.skip("the shared corpus of hostile programs is not here")
    lines = json.loads((HOSTILE / "problems.json").read_text())
    problems = {name: hurried(humaneval_problem(line), 1.0) for name, line in lines.items()}
    mix, answers = problems["mix"], list[Answer]()
    for path in sorted(HOSTILE.glob("[eflst][0-9][0-9]_*.py")):
        source = path.read_text()
        header = dict(line.split(": ", 1) for line in source.split('"""')[1].strip().split("\n"))
        problem = problems[header["problem"]]
        answers.append(Answer(task_id=problem.id, arm=path.stem, module=f"{problem.prompt}\n{source}"))
        answers += [Answer(task_id=mix.id, arm="honest", sample=len(answers), module=mix.reference)]
    started = time.monotonic()
    found = list(judge_samples(problems.values(), answers, sandbox))
    assert time.monotonic() - started < 60
    assert len(found) == len(answers) > 100
    assert [j.arm for j in found if j.arm != "honest" and j.passed("base")] == []
    assert [j for j in found if j.arm == "honest" and not j.passed("base")] == []
