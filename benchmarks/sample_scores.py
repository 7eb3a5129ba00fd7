"""What came out of judging a file of samples: counts, rates with their uncertainty, and every verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from leafwise.benchmarks.contracts import Judgement, ProblemSet, SuiteName
from leafwise.benchmarks.report import Machine
from leafwise.benchmarks.scoring import Interval, pass_at_k, wilson
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox_contracts import SandboxLevel

KS = (1, 10, 100)
_UNKNOWN = "the file does not say how samples were drawn: pass@k holds only for sampled ones, not for greedy ones"


class Count(Contract):
    """How many of something."""

    passed: int
    """Samples that passed."""
    samples: int
    """All samples."""


class SuiteScore(Contract):
    """How an arm fared in a suite."""

    arm: str
    """The arm; empty for files of other tools."""
    suite: SuiteName
    """The suite; `plus` includes `base`."""
    count: Count
    """Over all tasks."""
    statuses: dict[str, int]
    """How many samples ended in which way: that of `base` where `plus` was not reached."""
    interval: Interval | None
    """Wilson's, 95 %, of the rate; None where a task has several samples, which are not independent of each other."""
    pass_at: dict[str, float | None]
    """pass@k by k; None where a task of the file has fewer than k samples."""
    notes: tuple[str, ...]
    """Why something is None, and what else to know."""
    tasks: dict[str, Count]
    """Per task of the file, in the data set's order."""


class JudgedFile(Contract):
    """A file of samples, judged."""

    samples: str
    """The file's name."""
    dataset: str
    """The data set's name."""
    dataset_source: str
    """Where it comes from."""
    dataset_sha256: str
    """Of its problems and tests."""
    dataset_tasks: int
    """How many tasks it has, without those that are left out."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Tasks that cannot be scored here, and why: their samples count nowhere."""
    leafwise: str
    """Our version."""
    level: SandboxLevel
    """The sandbox level."""
    workers: int
    """Programs that ran at once."""
    machine: Machine
    """Where it was judged."""
    self_check_seconds: float
    """Wall-clock time of the check of this environment."""
    seconds: float
    """Wall-clock time of judging; with `--resume` only of this time."""
    kept: int
    """Verdicts that were there before, by `--resume`."""
    totals: dict[SuiteName, Count]
    """All arms together, by suite."""
    scores: tuple[SuiteScore, ...]
    """Per arm and suite."""
    verdicts: tuple[Judgement, ...]
    """One per sample, in the file's order."""


def totals(problems: ProblemSet, verdicts: Sequence[Judgement]) -> dict[SuiteName, Count]:
    """All samples by suite; the suites come in their order, so the last is what a sample has to pass as a whole."""
    return {suite: _count(verdicts, suite) for suite in _suites(problems)}


def score_samples(problems: ProblemSet, verdicts: Sequence[Judgement]) -> tuple[SuiteScore, ...]:
    """Per arm and suite, the arms in the order in which they come.

    Args:
        problems: the data set.
        verdicts: one per sample.
    """
    arms: dict[str, list[Judgement]] = {}
    for verdict in verdicts:
        arms.setdefault(verdict.arm, []).append(verdict)
    return tuple(_score(problems, arm, suite, arms[arm]) for arm in arms for suite in _suites(problems))


def _score(problems: ProblemSet, arm: str, suite: SuiteName, verdicts: Sequence[Judgement]) -> SuiteScore:
    by_task: dict[str, list[Judgement]] = {problem.id: [] for problem in problems.problems}
    for verdict in verdicts:
        by_task[verdict.task_id].append(verdict)
    tasks = {task_id: _count(found, suite) for task_id, found in by_task.items() if found}
    count = _count(verdicts, suite)
    pass_at = {str(k): _pass_at(tasks.values(), k) for k in KS}
    single = all(task.samples == 1 for task in tasks.values())
    fewest = min(task.samples for task in tasks.values())
    notes = [] if single else ["no interval: the samples of one task are not independent"]
    notes += [f"no pass@{k}: a task has only {fewest} samples" for k in KS if pass_at[str(k)] is None]
    notes += [_UNKNOWN]
    if missing := len(by_task) - len(tasks):
        notes.append(f"{missing} tasks of the data set have no sample and are not counted")
    return SuiteScore(
        arm=arm,
        suite=suite,
        count=count,
        statuses=dict(Counter(_status(verdict, suite) for verdict in verdicts)),
        interval=wilson(count.passed, count.samples) if single else None,
        pass_at=pass_at,
        notes=tuple(notes),
        tasks=tasks,
    )


def _pass_at(tasks: Iterable[Count], k: int) -> float | None:
    counts = list(tasks)
    if any(task.samples < k for task in counts):
        return None
    return sum(pass_at_k(task.samples, task.passed, k) for task in counts) / len(counts)


def _count(verdicts: Sequence[Judgement], suite: SuiteName) -> Count:
    return Count(passed=sum(verdict.passed(suite) for verdict in verdicts), samples=len(verdicts))


def _status(verdict: Judgement, suite: SuiteName) -> str:
    return (verdict.plus if suite == "plus" and verdict.plus else verdict.base).status.value


def _suites(problems: ProblemSet) -> tuple[SuiteName, ...]:
    return tuple(dict.fromkeys(suite.name for problem in problems.problems for suite in problem.suites))
