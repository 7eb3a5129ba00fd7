"""How long the command line takes to start: `leafwise --help`, and `leafwise solve` up to the model's first token.

Wall-clock times of whole processes, as a user waits for them. They depend on what else the machine does: the load is
reported with them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract

_COMMAND = (sys.executable, "-P", "-m", "leafwise.runtime.cli")
_TASK = "Write a function add(a, b) that returns the sum of two numbers. add(2, 3) == 5"


class StartupTimes(Contract):
    """One measurement, repeated."""

    name: str
    """What was measured."""
    seconds: tuple[float, ...]
    """Each run's wall-clock time."""
    load: float
    """The machine's load average over the last minute, at the end."""

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.seconds)


def measure_startup(model: str, runs: int) -> list[StartupTimes]:
    """Measure both figures.

    Args:
        model: a name or a path; its probe's verdict is remembered after a first run, which is not counted.
        runs: measurements of each.

    Raises:
        BenchmarkError: a run failed.
    """
    _first_token(model)
    return [
        _repeat("leafwise --help", runs, _help),
        _repeat("leafwise solve, to the first token", runs, lambda: _first_token(model)),
    ]


def _repeat(name: str, runs: int, measure: Callable[[], float]) -> StartupTimes:
    seconds = tuple(measure() for _ in range(runs))
    return StartupTimes(name=name, seconds=seconds, load=os.getloadavg()[0])


def _help() -> float:
    started = time.time()
    _run("--help")
    return time.time() - started


def _first_token(model: str) -> float:
    """Seconds from the start of the process to the first token of the first draft, read from the trace."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.jsonl"
        started = time.time()
        _run("solve", "--quiet", "--strategy", "direct", "--model", model, "--trace", str(trace), _TASK, state=folder)
        events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    asked = next(e["at"] for e in events if e["kind"] == "step_started")
    usage = next(e["data"]["usage"] for e in events if e["kind"] == "call")
    return float(asked - started + usage["first_token_seconds"])


def _run(*arguments: str, state: str | None = None) -> None:
    # the runs measured here are nobody's: they are not stored among the user's
    elsewhere = ("env", f"XDG_STATE_HOME={state}") if state else ()
    done = subprocess.run([*elsewhere, *_COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise BenchmarkError(f"leafwise {arguments[0]} failed: {done.stderr.strip()[-300:]}", "see `leafwise doctor`")
