"""The sandbox's benchmark: what it is told, how its sections are run, and how many programs are judged at once."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from leafwise.benchmarks.report import Recorder, Report, Section, Tell, take_section
from leafwise.runtime.contracts import Contract
from leafwise.runtime.handle import Handle
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import CheckResult, Limits, Program, SandboxLevel, Verdict

_AHEAD = 8
"""Programs in the queue per worker: no worker waits for the next one."""


class SandboxBench(Contract):
    """What to measure."""

    level: SandboxLevel = SandboxLevel.FULL
    """How strongly programs are contained; the section `kills` tries all levels."""
    workers: int
    """Programs that run at once."""
    rounds: int = 5
    """Measurements of each figure."""
    copies: int = 10
    """Samples per HumanEval problem, in the throughput section."""
    limit: int | None = None
    """HumanEval problems; all by default."""
    load: bool = False
    """Measure the throughput once more while all cores are busy."""
    calls: int = 5000
    """Calls of a function, in the calls section."""
    verdicts: int = 100_000
    """Programs of the soak."""
    kills: int = 50
    """Parent processes that are killed."""
    seed: int = 0
    """All chance derives from it."""


class SandboxReport(Report):
    """One run of the sandbox's benchmark."""

    bench: SandboxBench
    """What was measured."""


Measure = Callable[[SandboxBench, Recorder, Tell], None]
"""A section: measures, and hands what it finds to the recorder as it goes."""

SECTIONS = ("throughput", "calls", "soak", "kills")
"""The sections in order. NAME is `measure_NAME` in the module `sandbox_NAME`."""


def run_section(name: str, bench: SandboxBench, tell: Tell) -> Section:
    """Run one section. One that fails or is interrupted still gives what it measured before."""
    measure: Measure = getattr(importlib.import_module(f"leafwise.benchmarks.sandbox_{name}"), f"measure_{name}")
    return take_section(name, lambda out: measure(bench, out, lambda text: tell(f"{name}: {text}")))


def judge_all(sandbox: Sandbox, jobs: Iterable[tuple[Program, Limits]], workers: int) -> Iterator[Verdict]:
    """Verdicts in the order of the jobs.

    When it is interrupted, what runs ends and nothing more is started.

    Raises:
        SandboxError: the sandbox failed.
    """
    handles: deque[Handle[CheckResult, Verdict]] = deque()
    try:
        for program, limits in jobs:
            handles.append(sandbox.submit(program, limits))
            if len(handles) > _AHEAD * workers:
                yield handles.popleft().result()
        while handles:
            yield handles.popleft().result()
    finally:
        for handle in handles:
            handle.cancel()
