"""Very many verdicts in one process: none may be wrong, and nothing may grow or stay behind."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.sandbox_bench import SandboxBench, judge_all
from leafwise.benchmarks.sandbox_footprint import Footprint, descendants, read_footprint, still_alive
from leafwise.benchmarks.sandbox_programs import draw, make_kinds
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Limits, Program

_STEPS = 100
_LOOKS = (0, 1, *range(5, 101, 5))  # percent
_ROWS = (0, 1, 10, 25, 50, 75, 100)
_SETTLED = 10  # percent after which nothing may grow any more
_MEMORY_GOAL = 16.0  # MiB
_RIGHT = "right"
_COLUMNS = ("", "verdicts", "MiB", "descriptors", "MiB below", "descriptors below", "processes below", "zombies")


class Soak:
    """What the soak has found so far."""

    def __init__(self) -> None:
        self.ends: dict[str, Counter[str]] = {}
        """Per kind of program, how it ended."""
        self.footprints: dict[int, tuple[int, Footprint]] = {}
        """Per percent, verdicts so far and what was held."""
        self.seen: set[psutil.Process] = set()
        """Every descendant that was noticed."""
        self.seconds = 0.0
        """Time in which programs were judged."""

    @property
    def verdicts(self) -> int:
        """How many there were."""
        return sum(ends.total() for ends in self.ends.values())

    @property
    def wrong(self) -> int:
        """How many of them were wrong."""
        return self.verdicts - sum(ends[_RIGHT] for ends in self.ends.values())


def measure_soak(bench: SandboxBench, out: Recorder, tell: Tell) -> None:
    """Judge a mix of programs, and look now and then at what is held."""
    soak, before = Soak(), descendants()
    with _own_temporary_folder() as folder:
        try:
            with open_sandbox(bench.level, workers=bench.workers) as sandbox:
                _run(bench, sandbox, soak, tell)
        finally:
            _report(soak, out)
            out.figure("processes left after closing", len(still_alive(soak.seen - before)), at_most=0)
            out.figure("temporary files left after closing", len(list(folder.iterdir())), at_most=0)
    out.note(f"level {bench.level}, {bench.workers} workers; one time-out in 2,000 programs")


def _run(bench: SandboxBench, sandbox: Sandbox, soak: Soak, tell: Tell) -> None:
    kinds, dice = make_kinds(bench.level), random.Random(bench.seed)
    _look(bench, sandbox, soak, 0)
    for percent in range(1, _STEPS + 1):
        tell(f"{soak.verdicts:,} of {bench.verdicts:,} verdicts, {soak.wrong} wrong")
        count = bench.verdicts * percent // _STEPS - soak.verdicts
        drawn = draw(kinds, count, dice)
        started = time.perf_counter()
        verdicts = judge_all(sandbox, [(kind.program, kind.limits) for kind in drawn], bench.workers)
        for kind, verdict in zip(drawn, verdicts, strict=True):
            soak.ends.setdefault(kind.name, Counter())[kind.fault(verdict) or _RIGHT] += 1
        soak.seconds += time.perf_counter() - started
        if percent in _LOOKS:
            _look(bench, sandbox, soak, percent)


def _look(bench: SandboxBench, sandbox: Sandbox, soak: Soak, percent: int) -> None:
    """Keep the footprint of a moment in which every worker has started and none has anything to do."""
    nap = Program(source="import time\ntime.sleep(0.1)\n"), Limits()
    list(judge_all(sandbox, [nap] * bench.workers, bench.workers))
    soak.footprints[percent] = soak.verdicts, read_footprint()
    soak.seen |= descendants()


def _report(soak: Soak, out: Recorder) -> None:
    shown = [percent for percent in soak.footprints if percent in _ROWS or percent == max(soak.footprints)]
    out.table("what is held", _COLUMNS, [_row(percent, *soak.footprints[percent]) for percent in shown])
    rows = [
        (kind, float(count), end) for kind, ends in soak.ends.items() for end, count in ends.items() if end != _RIGHT
    ]
    out.table("wrong verdicts", ("program", "times", "ended"), rows)
    out.figure("verdicts", soak.verdicts)
    if soak.seconds:
        out.figure("speed", soak.verdicts / soak.seconds, "verdicts/s")
    out.figure("wrong verdicts", soak.wrong, at_most=0)
    _report_growth(soak, out)


def _report_growth(soak: Soak, out: Recorder) -> None:
    """What was gained since a tenth of the verdicts."""
    last = max(soak.footprints, default=0)
    if last <= _SETTLED:
        return
    early, late = soak.footprints[_SETTLED][1], soak.footprints[last][1]
    since = f"from {_SETTLED} % on"
    out.figure(f"memory gained {since}", _mib(late.memory - early.memory), "MiB", at_most=_MEMORY_GOAL)
    below = _mib(late.below_memory - early.below_memory)
    out.figure(f"memory gained below {since}", below, "MiB", at_most=_MEMORY_GOAL)
    out.figure(f"descriptors gained {since}", late.descriptors - early.descriptors, at_most=0)
    if early.below_descriptors is not None and late.below_descriptors is not None:
        gained = late.below_descriptors - early.below_descriptors
        out.figure(f"descriptors gained below {since}", gained, at_most=0)
    out.figure(f"processes gained {since}", late.processes - early.processes, at_most=0)
    out.figure("zombies, most at once", max(held.zombies for _, held in soak.footprints.values()), at_most=0)


def _row(percent: int, verdicts: int, held: Footprint) -> tuple[str | float | None, ...]:
    return (
        *(f"{percent} %", float(verdicts), _mib(held.memory), float(held.descriptors), _mib(held.below_memory)),
        *(held.below_descriptors, float(held.processes), float(held.zombies)),
    )


def _mib(size: int) -> float:
    return size / 2**20


@contextmanager
def _own_temporary_folder() -> Iterator[Path]:
    """A folder for all temporary files of this process, so that what stays behind is seen."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="leafwise-soak-") as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before
