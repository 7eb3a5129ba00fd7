"""Which arms of a run are compared, and why: a few questions that were asked before, not every pair there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from leafwise.agents.settings import Part, Strategy
from leafwise.benchmarks.contracts import Arm
from leafwise.benchmarks.summary_contracts import Why

_RIVALS: dict[tuple[Strategy, Strategy], Why] = {
    ("guided", "resample"): "resample",
    ("guided", "paper"): "paper",
    ("paper", "resample"): "paper",
}
"""Strategies that are compared, with the same model."""
_WHOLE: tuple[Strategy, tuple[Part, ...]] = ("guided", ())
"""The team with all its parts."""


class Pair(NamedTuple):
    """Two arms, by their names."""

    arm: str
    """This arm."""
    other: str
    """Compared with this one."""
    why: Why
    """Why these two."""


def pairs_to_compare(arms: Sequence[Arm]) -> list[Pair]:
    """The pairs of a run, each once.

    Each arm with the first of its model; `guided`, `paper` and `resample` with each other; `guided` without a part with
    `guided`; each arm with the first model's; all with the first. What lacks a part is compared with the whole alone,
    where that is there: more would be many tests of one question.

    Args:
        arms: in the run's order.
    """
    found: dict[frozenset[str], Pair] = {}
    for arm, other in _asked(arms):
        if arm is other:
            continue
        if relation(arm, other) is None and relation(other, arm):
            arm, other = other, arm
        pair = Pair(arm.name, other.name, relation(arm, other) or "first")
        found.setdefault(frozenset(pair[:2]), pair)
    return list(found.values())


def relation(arm: Arm, other: Arm) -> Why | None:
    """Why it is worth comparing one arm with another; None if there is no more to it than who comes first."""
    if arm.model != other.model:
        return "model" if _kind(arm) == _kind(other) else None
    if arm.settings.without and _kind(other) == _WHOLE:
        return "part"
    return _RIVALS.get((arm.strategy, other.strategy))


def _asked(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    whole = {arm.model for arm in arms if _kind(arm) == _WHOLE}
    compared = [arm for arm in arms if not (arm.settings.without and arm.model in whole)]
    for arm in compared:
        yield arm, next(other for other in compared if other.model == arm.model)
    yield from ((arm, other) for arm in compared for other in compared if relation(arm, other) in ("resample", "paper"))
    yield from ((arm, other) for arm in arms for other in arms if relation(arm, other) == "part")
    for arm in arms:
        yield arm, next(other for other in arms if _kind(other) == _kind(arm))
    for arm in compared:
        yield arm, compared[0]


def _kind(arm: Arm) -> tuple[Strategy, tuple[Part, ...]]:
    """What an arm does, whatever its model."""
    return arm.strategy, arm.settings.without
