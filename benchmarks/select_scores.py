"""How often selection finds a right one among recorded samples, beside simpler rules and beside the best possible."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

from leafwise.agents.selection import best
from leafwise.benchmarks.problems import half_of
from leafwise.benchmarks.scoring import Interval, wilson
from leafwise.benchmarks.select_outcomes import Tried
from leafwise.benchmarks.select_pools import Draw
from leafwise.runtime.contracts import Contract

CURVE = (1, 2, 5, 10, 20, 50, 100)
"""Numbers of samples on the curve."""
_DRAWS = {1: 5, 2: 5, 5: 5, 10: 4, 20: 3, 50: 2}
Rule = Literal["single", "first", "selected", "oracle"]
Part = Literal["all", "even", "odd"]
RULES: dict[Rule, str] = {
    "single": "one sample, at random",
    "first": "first that passes the visible examples",
    "selected": "selected",
    "oracle": "a right one among them",
}


class Row(Contract):
    """One number: right answers of one rule."""

    rule: Rule
    """How the answer is chosen."""
    examples: bool
    """Whether the visible examples were used."""
    part: Part
    """Which tasks."""
    samples: int
    """Solutions, and check texts, of a task."""
    draws: int
    """Random draws that this is the mean of; 1 for the first samples of the file."""
    right: float
    """Tasks with a right answer: a mean for `single`, and over several draws."""
    tasks: int
    """Tasks there are; on the curve, those with so many solutions."""
    interval: Interval
    """Wilson's, 95 %, of the rounded count."""


def rows_of_first(
    tried: Sequence[Tried], samples: int, checks: int, seed: int, advance: Callable[[], None], *, examples: bool
) -> list[Row]:
    """The rules on the first samples of each task, or on as many as it has.

    Args:
        tried: the tasks.
        samples: solutions of each.
        checks: check texts of each.
        seed: of the generated inputs.
        advance: is called after each task.
        examples: whether the visible examples may be used.
    """
    found: dict[str, list[dict[Rule, float]]] = {}
    for one in tried:
        found[one.pool.problem.id] = [_outcome(one, one.pool.first(samples, checks), seed, examples)]
        advance()
    return [row for part in _parts(found) for row in _rows(part, found, samples, examples)]


def rows_of_curve(
    tried: Sequence[Tried], size: int, seed: int, advance: Callable[[], None], *, examples: bool
) -> list[Row]:
    """The rules on random draws of so many solutions and as many check texts, for tasks with so many solutions.

    Args:
        tried: the tasks.
        size: solutions, and check texts, of a draw.
        seed: of the draws and of the generated inputs.
        advance: is called after each of them.
        examples: whether the visible examples may be used.
    """
    found: dict[str, list[dict[Rule, float]]] = {}
    for one in tried:
        if len(one.pool.modules) >= size:
            draws = one.pool.draws(size, draws_of(size), seed)
            found[one.pool.problem.id] = [_outcome(one, draw, seed, examples) for draw in draws]
            advance()
    return _rows("all", found, size, examples)


def draws_of(size: int) -> int:
    """How many random draws of a size the curve is the mean of."""
    return _DRAWS.get(size, 1)


def _outcome(tried: Tried, draw: Draw, seed: int, examples: bool) -> dict[Rule, float]:
    """Whether each rule's answer is right."""
    candidates = tried.candidates(draw, tried.pool.trial(draw, seed, examples=examples), examples=examples)
    winner = best([*candidates.values()])
    passing = [number for number, one in candidates.items() if one.evidence.passes]
    rights = [tried.right(number) for number in draw.solutions]
    first = passing[0] if passing else draw.solutions[0]
    return {
        "single": statistics.fmean(rights),
        "first": float(tried.right(first)),
        "selected": float(winner is not None and tried.passed[winner.source]),
        "oracle": float(any(rights)),
    }


def _parts(found: dict[str, list[dict[Rule, float]]]) -> list[Part]:
    numbered = all(task[-1:].isdigit() for task in found)
    return ["all", "even", "odd"] if numbered else ["all"]


def _rows(part: Part, found: dict[str, list[dict[Rule, float]]], samples: int, examples: bool) -> list[Row]:
    mine = [outcomes for task, outcomes in found.items() if part == "all" or half_of(task) == part]
    rows: list[Row] = []
    for rule in RULES if mine else ():
        right = sum(statistics.fmean(one[rule] for one in outcomes) for outcomes in mine)
        rows.append(
            Row(
                rule=rule,
                examples=examples,
                part=part,
                samples=samples,
                draws=max(map(len, mine)),
                right=right,
                tasks=len(mine),
                interval=wilson(round(right), len(mine)),
            )
        )
    return rows
