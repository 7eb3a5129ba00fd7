"""How many answers pass, with honest uncertainty: pass@k by the unbiased estimator, and Wilson's interval."""

from __future__ import annotations

import math
from statistics import NormalDist

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract


class Interval(Contract):
    """A confidence interval."""

    low: float
    """Its lower end."""
    high: float
    """Its upper end."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k samples passes, estimated without bias from n samples of one task.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374), section 2.1:
    1 - C(n - c, k) / C(n, k). Computed from whole numbers, so nothing is lost to rounding.

    Args:
        n: samples of the task.
        c: samples among them that pass.
        k: samples that one may draw.

    Raises:
        BenchmarkError: n < k, where the estimator does not exist; or the numbers are no counts.
    """
    if k < 1 or n < 0 or not 0 <= c <= n:
        raise BenchmarkError(f"pass@{k} of {c} right in {n} samples means nothing", "0 <= c <= n, and k is at least 1")
    if n < k:
        raise BenchmarkError(f"pass@{k} cannot be estimated from {n} samples a task", f"generate at least {k}")
    missed = math.comb(n - c, k)
    whole = math.comb(n, k)
    return (whole - missed) / whole


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion: which true rates agree with what was seen.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22. Unlike the usual plus-minus it never leaves [0, 1] and is usable near 0.

    Args:
        passed: successes.
        total: independent trials.
        confidence: of the interval, between 0 and 1.

    Raises:
        BenchmarkError: there are no trials, or the numbers are no counts.
    """
    if total < 1 or not 0 <= passed <= total or not 0 < confidence < 1:
        raise BenchmarkError(f"no interval for {passed} of {total} at confidence {confidence}", "0 <= passed <= total")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = passed / total
    scale = 1 + z * z / total
    middle = (rate + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    # at the ends the formula gives 0 and 1 exactly; floating point would miss them
    return Interval(
        low=0.0 if passed == 0 else max(0.0, middle - half), high=1.0 if passed == total else min(1.0, middle + half)
    )
