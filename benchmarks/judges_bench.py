"""Our judge beside others': what the benchmark is told, how its sections run, and whose answers are judged."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from leafwise.benchmarks.contracts import Judgement, Problem, Result, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems_plus import with_expected
from leafwise.benchmarks.report import Recorder, Report, Section, Tell, take_section
from leafwise.benchmarks.sandbox_bench import judge_all
from leafwise.benchmarks.sandbox_generations import cut, read_generations, spread
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Limits, Program, SandboxLevel, Status, Verdict


class JudgesBench(Contract):
    """What to measure."""

    level: SandboxLevel = SandboxLevel.FULL
    """How strongly our judge contains programs."""
    workers: int
    """Programs that run at once, in every judge."""
    samples: Path | None = None
    """File with generations; without one, only reference answers are judged."""
    count: int = 1000
    """Generations that are taken from it."""
    limit: int | None = None
    """Problems of each data set; all by default."""
    plus: Path | None = None
    """`HumanEvalPlus.jsonl.gz`, for the section `plus`."""
    evalplus_python: Path | None = None
    """The Python that has EvalPlus; this one by default."""
    mbpp: Path | None = None
    """A file of MBPP, for the section `mbpp`."""
    mutants: int = 2
    """Wrong programs that are made of each reference of MBPP."""
    hostile: tuple[Path, ...] = ()
    """Folders of hostile programs, for the section `hostile`."""
    seed: int = 0
    """All chance derives from it."""


class JudgesReport(Report):
    """One run of the comparison."""

    bench: JudgesBench
    """What was measured."""


class Answer(NamedTuple):
    """What is judged."""

    name: str
    """Its task, and which of its answers."""
    problem: Problem
    """The task."""
    source: str
    """The module."""

    @property
    def completion(self) -> str:
        """What follows the prompt."""
        return self.source.removeprefix(self.problem.prompt)


Measure = Callable[[JudgesBench, Recorder, Tell], None]
"""A section: measures, and hands what it finds to the recorder as it goes."""

SECTIONS = {"humaneval": "", "plus": "plus", "mbpp": "mbpp", "hostile": "hostile"}
"""The sections in order, each with the field of `JudgesBench` that it can't do without. NAME is `measure_NAME` in the
module `judges_NAME`."""


def run_section(name: str, bench: JudgesBench, tell: Tell) -> Section:
    """Run one section. One that fails or is interrupted still gives what it measured before."""
    measure: Measure = getattr(importlib.import_module(f"leafwise.benchmarks.judges_{name}"), f"measure_{name}")
    return take_section(name, lambda out: measure(bench, out, lambda text: tell(f"{name}: {text}")))


def choose_answers(problems: Sequence[Problem], bench: JudgesBench) -> list[Answer]:
    """The reference of each problem, and generations for them, where there is a file.

    Raises:
        BenchmarkError: the file is unusable, or has a task that is none of HumanEval's.
    """
    answers = [Answer(f"{problem.id} [reference]", problem, problem.reference) for problem in problems]
    if bench.samples is None:
        return answers
    generations, known = read_generations(bench.samples), {problem.id: problem for problem in problems}
    if bench.limit is None and (unknown := sorted(generations.keys() - known.keys())):
        raise BenchmarkError(f"{bench.samples} has a task that HumanEval has not: {unknown[0]}", "such as HumanEval/0")
    available = {task: len(generations.get(task, ())) for task in known}
    chosen = spread(available, bench.count, random.Random(bench.seed))
    return answers + [
        Answer(f"{task} [{index}]", known[task], known[task].prompt + cut(generations[task][index]))
        for task, index in chosen
    ]


def judge_answers(answers: Sequence[Answer], bench: JudgesBench) -> list[Judgement]:
    """Verdicts of the sandbox on answers: the base suite, and for those that pass it the further ones.

    Raises:
        SandboxError: the sandbox failed.
    """
    with open_sandbox(bench.level, workers=bench.workers) as sandbox:
        jobs = (_job(answer, answer.problem.suites[0]) for answer in answers)
        base = list(map(_result, judge_all(sandbox, jobs, bench.workers)))
        further = [
            at
            for at, (answer, result) in enumerate(zip(answers, base, strict=True))
            if result.status is Status.PASSED and len(answer.problem.suites) > 1
        ]
        wanted = {answers[at].problem.id: answers[at].problem for at in further}
        suites = {task: with_expected(problem, sandbox).suites[1] for task, problem in wanted.items()}
        jobs = (_job(answers[at], suites[answers[at].problem.id]) for at in further)
        plus = dict(zip(further, map(_result, judge_all(sandbox, jobs, bench.workers)), strict=True))
    return [
        Judgement(
            task_id=answer.problem.id, arm="", sample=at, key="", base=base[at], plus=plus.get(at), level=bench.level
        )
        for at, answer in enumerate(answers)
    ]


def _job(answer: Answer, suite: Suite) -> tuple[Program, Limits]:
    program = Program(
        source=answer.source,
        setup=suite.setup,
        checks=suite.checks,
        trusted_checks=True,
        stop_at_first_failure=True,
    )
    return program, Limits(cpu_seconds=suite.cpu_seconds, wall_seconds=4 * suite.cpu_seconds)


def _result(verdict: Verdict) -> Result:
    error = next((check.error for check in verdict.checks if check.error), "")
    return Result(
        status=verdict.status,
        detail=" ".join((error or verdict.detail).split()),
        cpu_seconds=verdict.cpu_seconds,
        seconds=verdict.seconds,
    )
