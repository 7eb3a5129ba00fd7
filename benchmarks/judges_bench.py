"""Our judge beside others': what the benchmark is told, how its sections run, and whose answers are judged."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from leafwise.benchmarks import judge
from leafwise.benchmarks.contracts import Judgement, Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report import Recorder, Report, Section, Tell, take_section
from leafwise.benchmarks.sandbox_generations import cut, read_generations, spread
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel


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
    copies: int = 10
    """Section `speed`: samples of each problem."""
    rounds: int = 5
    """Section `speed`: turns of each judge."""
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

SECTIONS = {"speed": "", "humaneval": "", "plus": "plus", "mbpp": "mbpp", "hostile": "hostile"}
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
    problems = {answer.problem.id: answer.problem for answer in answers}
    judged = [
        judge.Answer(task_id=answer.problem.id, sample=at, module=answer.source) for at, answer in enumerate(answers)
    ]
    with open_sandbox(bench.level, workers=bench.workers) as sandbox:
        return sorted(judge.judge_samples(problems.values(), judged, sandbox), key=lambda verdict: verdict.sample)
