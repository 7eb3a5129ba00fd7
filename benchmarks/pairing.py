"""Two arms on the same tasks: wins and losses, exact McNemar, and the difference with a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.scoring import Interval
from leafwise.runtime.contracts import Contract

RESAMPLES = 10_000
_CHUNK = 1_000
"""Resamples drawn at once: bounds the memory for large data sets."""


class Paired(Contract):
    """How one arm compares with another, over the tasks that both answered."""

    tasks: int
    """Tasks that both answered."""
    rate: float
    """Mean pass rate of this arm over them, 0 to 1."""
    other_rate: float
    """Mean pass rate of the other."""
    won: tuple[str, ...]
    """Tasks on which this arm has the higher pass rate."""
    lost: tuple[str, ...]
    """Tasks on which the other has."""
    difference: float
    """Absolute gain in points (per cent of the tasks)."""
    interval: Interval
    """Its 95 % bootstrap interval over tasks, in points."""
    relative: float | None
    """Relative gain, 0.5 for half as much again; None where the other passes nothing."""
    p: float | None
    """Exact two-sided McNemar; None where it does not apply."""
    p_reason: str = ""
    """Why there is no p."""

    @property
    def ties(self) -> int:
        """Tasks on which both have the same pass rate."""
        return self.tasks - len(self.won) - len(self.lost)

    @property
    def certain(self) -> bool:
        """Whether the difference is more than chance explains: the interval leaves out 0, and p, if any, is < 0.05."""
        apart = self.interval.low > 0 or self.interval.high < 0
        return apart and (self.p is None or self.p < 0.05)


def mcnemar_exact(won: int, lost: int) -> float:
    """Two-sided p that the two arms are equally good, from the tasks on which they disagree.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, in its exact form: under the null hypothesis each discordant task is a fair coin,
    so the smaller count is binomial with p = 1/2, and both tails count. 1.0 where the arms never disagree.

    Raises:
        BenchmarkError: a count is negative.
    """
    if won < 0 or lost < 0:
        raise BenchmarkError(f"{won} wins and {lost} losses are no counts")
    n = won + lost
    tail = sum(math.comb(n, i) for i in range(min(won, lost) + 1))
    whole: int = 2**n
    return min(1.0, 2 * tail / whole)


def bootstrap_mean(values: Sequence[float], seed: int = 0, confidence: float = 0.95) -> Interval:
    """Percentile bootstrap interval of a mean, resampling the values (one per task) with replacement.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7; percentile method.
    10,000 resamples; the same seed gives the same interval.

    Args:
        values: one per task.
        seed: of the resampling.
        confidence: of the interval.

    Raises:
        BenchmarkError: there are no values.
    """
    if not values:
        raise BenchmarkError("no interval for the mean of nothing")
    rng = np.random.default_rng(seed)
    array = np.asarray(values, dtype=np.float64)
    means = np.concatenate(
        [array[rng.integers(0, len(array), (_CHUNK, len(array)))].mean(axis=1) for _ in range(RESAMPLES // _CHUNK)]
    )
    low, high = np.quantile(means, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(low=float(low), high=float(high))


def compare_tasks(
    ours: Mapping[str, Sequence[bool]], others: Mapping[str, Sequence[bool]], seed: int = 0
) -> Paired | None:
    """Compare two arms task by task.

    Args:
        ours: for each task, whether each of the arm's samples passed.
        others: the same of the other arm.
        seed: of the bootstrap.

    Returns:
        The comparison over the tasks that both have; None if there is none.
    """
    tasks = [task for task in ours if ours[task] and others.get(task)]
    if not tasks:
        return None
    mine = {task: sum(ours[task]) / len(ours[task]) for task in tasks}
    theirs = {task: sum(others[task]) / len(others[task]) for task in tasks}
    differences = [mine[task] - theirs[task] for task in tasks]
    won = tuple(task for task in tasks if mine[task] > theirs[task])
    lost = tuple(task for task in tasks if mine[task] < theirs[task])
    single = all(len(ours[task]) == len(others[task]) == 1 for task in tasks)
    rate, other_rate = sum(mine.values()) / len(tasks), sum(theirs.values()) / len(tasks)
    interval = bootstrap_mean(differences, seed)
    return Paired(
        tasks=len(tasks),
        rate=rate,
        other_rate=other_rate,
        won=won,
        lost=lost,
        difference=100 * sum(differences) / len(tasks),
        interval=Interval(low=100 * interval.low, high=100 * interval.high),
        relative=sum(differences) / sum(theirs.values()) if other_rate else None,
        p=mcnemar_exact(len(won), len(lost)) if single else None,
        p_reason="" if single else "McNemar needs one sample per task in both arms",
    )
