"""Verdicts on MBPP's references and on programs that differ in one place, beside a plain run of the asserts."""

from __future__ import annotations

import random

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judges_bench import Answer, JudgesBench, judge_answers
from leafwise.benchmarks.judges_pairs import Pair, report_pairs
from leafwise.benchmarks.mutations import mutants
from leafwise.benchmarks.plain_yardstick import PASSED, Asserted, run_plainly
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.report import Recorder, Tell

_GOAL = 1.0  # verdicts in a thousand that may differ


def measure_mbpp(bench: JudgesBench, out: Recorder, tell: Tell) -> None:
    """Judge the same programs twice."""
    if bench.mbpp is None:
        raise BenchmarkError("there is no MBPP", "give it a file: --mbpp FILE")
    problems = read_problem_set("mbpp", bench.mbpp).problems[: bench.limit]
    dice = random.Random(bench.seed)
    answers = [Answer(f"{problem.id} [reference]", problem, problem.reference) for problem in problems]
    for problem in problems:
        changed = mutants(problem.reference, bench.mutants, dice)
        answers += [Answer(f"{problem.id} [mutant {i}]", problem, source) for i, source in enumerate(changed)]
    tell(f"plain Python runs {len(answers)} programs")
    programs = [Asserted(answer.source, _tests(answer)) for answer in answers]
    theirs = run_plainly(programs, max(problem.suites[0].cpu_seconds for problem in problems))
    tell(f"leafwise judges {len(answers)} programs")
    ours = judge_answers(answers, bench)
    found = zip(answers, ours, theirs, strict=True)
    pairs = [Pair(answer.name, one.base, other, other == PASSED) for answer, one, other in found]
    for suite, several in (("references", pairs[: len(problems)]), ("mutants", pairs[len(problems) :])):
        report_pairs(several, "Python", out, suite=suite, at_most_per_thousand=_GOAL)
    out.note(f"level {bench.level}; Python inside bubblewrap; all asserts of each task, the visible one too")


def _tests(answer: Answer) -> str:
    suite = answer.problem.suites[0]
    return "\n".join([suite.setup, *(check.code for check in suite.checks)])
