"""What a simulated cell comes to: rates with intervals, and gains over `resample`, for all tasks and by data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from leafwise.benchmarks.pairing import Paired, bootstrap_mean, compare_tasks
from leafwise.benchmarks.scoring import Interval, wilson
from leafwise.benchmarks.simulate import ArmOutcome, Cell
from leafwise.runtime.contracts import Contract

ALL = "all"
"""The group of all tasks; the others are the data sets, by the beginnings of the tasks' ids."""
RIVAL = "resample"
"""What every strategy is compared with."""


class Rate(Contract):
    """How a strategy fares on a group of tasks."""

    group: str
    """`all`, or a data set."""
    tasks: int
    """Tasks in it."""
    rate: float
    """Mean pass rate."""
    interval: Interval
    """Its 95 % interval: Wilson's, or with several answers per task a bootstrap over tasks."""


class ArmRow(Contract):
    """A strategy in a cell."""

    arm: str
    """Its name."""
    answers: float
    """Mean tokens spent, in right answers of the task."""
    rates: tuple[Rate, ...]
    """For each group."""
    gains: dict[str, Paired]
    """For each group, the comparison with `resample`; empty for itself, or where that was not run."""


def groups_of(tasks: Iterable[str]) -> tuple[str, ...]:
    """`all` and, where there are several, the data sets."""
    sets = tuple(dict.fromkeys(task.partition("/")[0] for task in tasks))
    return (ALL, *sets) if len(sets) > 1 else (ALL,)


def rows_of(cell: Cell, arms: Sequence[str]) -> list[ArmRow]:
    """The strategies of a cell in order.

    Args:
        cell: a cell in which they were run.
        arms: names; those that the cell does not have are left out.
    """
    rival = cell.arm(RIVAL)
    return [_row(arm, rival) for name in arms if (arm := cell.arm(name)) is not None]


def _row(arm: ArmOutcome, rival: ArmOutcome | None) -> ArmRow:
    groups = groups_of(arm.passed)
    gains = {group: gain for group in groups if (gain := gain_in(group, arm, rival)) is not None}
    return ArmRow(arm=arm.arm, answers=arm.answers, rates=tuple(_rate(group, arm) for group in groups), gains=gains)


def gain_in(group: str, arm: ArmOutcome, rival: ArmOutcome | None) -> Paired | None:
    """How a strategy compares with another on a group's tasks; None if there is no other one."""
    if rival is None or rival.arm == arm.arm:
        return None
    return compare_tasks(_in_group(group, arm), _in_group(group, rival))


def _in_group(group: str, arm: ArmOutcome) -> dict[str, tuple[bool, ...]]:
    return {task: passed for task, passed in arm.passed.items() if group in (ALL, task.partition("/")[0])}


def _rate(group: str, arm: ArmOutcome) -> Rate:
    passed = _in_group(group, arm)
    rates = [sum(task) / len(task) for task in passed.values()]
    single = all(len(task) == 1 for task in passed.values())
    interval = wilson(sum(map(sum, passed.values())), len(passed)) if single else bootstrap_mean(rates)
    return Rate(group=group, tasks=len(passed), rate=sum(rates) / len(rates), interval=interval)
