"""Verdicts on HumanEval+ beside EvalPlus's own, on the same answers: base and plus each.

Our base is HumanEval's own tests; EvalPlus's base is the inputs of these tests, with the reference's outputs.
"""

from __future__ import annotations

from leafwise.benchmarks.contracts import Judgement
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.evalplus_yardstick import Solution, find_evalplus, judge_plus
from leafwise.benchmarks.judges_bench import Answer, JudgesBench, choose_answers, judge_answers
from leafwise.benchmarks.judges_pairs import Pair, decisive, report_pairs
from leafwise.benchmarks.problems import read_problem_set
from leafwise.benchmarks.report import Recorder, Tell


def measure_plus(bench: JudgesBench, out: Recorder, tell: Tell) -> None:
    """Judge the same answers twice, and leave out tasks of which EvalPlus fails the reference itself."""
    if bench.plus is None:
        raise BenchmarkError("there is no HumanEval+", "give it a file: --plus FILE")
    version = find_evalplus(bench.evalplus_python).version
    answers = choose_answers(read_problem_set("humaneval", plus=bench.plus).problems[: bench.limit], bench)
    tell(f"EvalPlus judges {len(answers)} answers")
    solutions = [Solution(answer.problem.id, answer.source) for answer in answers]
    theirs = judge_plus(solutions, bench.plus, bench.workers, python=bench.evalplus_python)
    tell(f"leafwise judges {len(answers)} answers")
    ours = judge_answers(answers, bench)
    broken = {
        answer.problem.id
        for answer, other in zip(answers, theirs, strict=True)
        if answer.source == answer.problem.reference and not other.passed
    }
    found = [row for row in zip(answers, ours, theirs, strict=True) if row[0].problem.id not in broken]
    base = [Pair(answer.name, one.base, other.base, other.base == "pass") for answer, one, other in found]
    plus = [
        Pair(answer.name, decisive(one), f"{other.plus}: base {other.base}", other.passed)
        for answer, one, other in found
    ]
    report_pairs(base, "EvalPlus", out, suite="base")
    report_pairs(plus, "EvalPlus", out, suite="plus")
    out.figure("tasks left out, as EvalPlus fails their reference", len(broken))
    out.figure("references that leafwise fails", _failed_references(answers, ours), at_most=0)
    if broken:
        out.note(f"left out: {', '.join(sorted(broken))}")
    out.note(f"EvalPlus {version} inside bubblewrap; level {bench.level} here; {bench.workers} workers each")


def _failed_references(answers: list[Answer], ours: list[Judgement]) -> int:
    pairs = zip(answers, ours, strict=True)
    return sum(a.source == a.problem.reference and not one.passed("plus") for a, one in pairs)
