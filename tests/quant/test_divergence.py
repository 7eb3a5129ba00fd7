"""Divergences by hand, and what the compact form of a distribution keeps of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from leafwise.quant.compact import compress, concatenate
from leafwise.quant.divergence import Scores, aggregate, exact_kl, negative_log_likelihood, perplexity_of, score
from leafwise.quant.errors import QuantizeError

# Three tokens over a vocabulary of four. Every figure below follows from these by hand.
P = np.log(np.array([[0.5, 0.25, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], np.float32))
Q = np.log(np.array([[0.25, 0.5, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1], [0.4, 0.4, 0.1, 0.1]], np.float32))
TARGETS = np.array([0, 0, 3], np.int32)
KL = [
    0.17328680,  # .5 ln 2 - .25 ln 2
    0.0,
    0.22314355,  # .5 ln(.25/.4) + .5 ln(.25/.1) = -.23500181 + .45814537
]


def logits(seed: int, rows: int, n_vocab: int, scale: float) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, scale, (rows, n_vocab)).astype(np.float32)


def whole(p: NDArray[np.float32], q: NDArray[np.float32], targets: NDArray[np.int32]) -> Scores:
    return score(compress(p, targets, np.random.default_rng(0)), q, targets)


def test_divergence_and_perplexity_are_those_computed_by_hand() -> None:
    # logits may have any offset
    scores = whole(P + 3, Q - 7, TARGETS)
    assert exact_kl(P + 3, Q - 7) == pytest.approx(KL, abs=1e-6)
    assert scores.kl == pytest.approx(KL, abs=1e-4)  # float16 in the compact form
    assert negative_log_likelihood(Q - 7, TARGETS) == pytest.approx(scores.nll, abs=1e-6)
    found = aggregate(scores)
    # -ln .25, -ln .7, -ln .1: mean (1.38629436 + .35667494 + 2.30258509) / 3 = 1.34851813
    assert found.perplexity == pytest.approx(3.851714, abs=1e-5)
    # variance .63175 (population); sqrt(.63175 / 2) = .56203 of the logarithm
    assert found.perplexity_error == pytest.approx(3.851714 * 0.562028, rel=1e-4)
    # -ln .5, -ln .7, -ln .25: mean (.69314718 + .35667494 + 1.38629436) / 3 = .81203883
    assert found.reference_perplexity == pytest.approx(2.252495, abs=1e-5)
    # the differences are ln 2, 0, ln 2.5: mean .53647930, population deviation .39013312
    assert found.log_ratio == pytest.approx(0.5364793, abs=1e-6)
    assert found.log_ratio_error == pytest.approx(0.3901331 / math.sqrt(2), rel=1e-5)
    assert found.mean_kl == pytest.approx(0.13214345, abs=1e-4)
    assert found.mean_kl_error == pytest.approx(0.09564 / math.sqrt(2), rel=1e-3)
    assert found.median_kl == pytest.approx(KL[0], abs=1e-4)
    assert found.p99_kl == pytest.approx(KL[0] + 0.98 * (KL[2] - KL[0]), abs=1e-4)  # between the 2nd and the 3rd of 3
    assert found.max_kl == pytest.approx(KL[2], abs=1e-4)
    assert found.tokens == 3
    # the first token's favourite changed; of equals the first one counts, in both
    assert found.top1 == pytest.approx(2 / 3)
    assert found.top1_error == pytest.approx(math.sqrt(2 / 3 * 1 / 3 / 2))
    # .25 - .5, 0, .1 - .25: root of (.0625 + 0 + .0225) / 3
    assert found.rms_delta_p == pytest.approx(0.168325, abs=1e-5)


def test_one_token_has_no_errors_and_no_warnings() -> None:
    with pytest.raises(QuantizeError, match="makes nothing of the text"):
        perplexity_of(np.array([800.0]))
    found = perplexity_of(np.array([math.log(5)]))
    assert (found.tokens, found.perplexity_error) == (1, 0)
    assert found.perplexity == pytest.approx(5)


def test_a_model_does_not_diverge_from_itself() -> None:
    p = logits(1, 100, 5_000, 2.0)
    targets = np.zeros(100, np.int32)
    found = aggregate(whole(p, p, targets))
    assert 0 <= found.mean_kl < 2e-6
    assert 0 <= found.max_kl < 2e-5
    assert found.top1 == 1
    assert found.log_ratio == found.rms_delta_p == 0


def test_the_tail_is_estimated_without_bias_and_its_error_is_honest() -> None:
    p = logits(2, 40, 3_000, 1.0)  # flat: 16 tokens hold little of the mass
    q = p + logits(3, 40, 3_000, 0.7)
    targets, exact = np.zeros(40, np.int32), float(exact_kl(p, q).mean())
    found = []
    for seed in range(40):
        scores = score(compress(p, targets, np.random.default_rng(seed), head=16, tail=32), q, targets)
        assert (scores.bound <= scores.kl).all()
        found.append(aggregate(scores))
    means = np.array([f.mean_kl for f in found])
    error = float(np.mean([f.mean_kl_storage_error for f in found]))
    assert found[0].mean_kl_bound < 0.2 * exact  # heads and residuals alone say next to nothing here
    assert means.mean() == pytest.approx(exact, abs=4 * error / math.sqrt(len(found)))
    assert 0.5 * error < means.std() < 1.3 * error
    assert error < 0.06 * exact


def test_heads_are_as_long_as_they_must_be() -> None:
    peaked = np.zeros((1, 1_000), np.float32)
    peaked[0, 7] = 20
    flat = np.zeros((1, 1_000), np.float32)
    kept = compress(np.concatenate([peaked, flat]), np.array([7, 1], np.int32), np.random.default_rng(0), head=50)
    assert kept.counts.tolist() == [1, 50]
    assert kept.ids[:2].tolist() == [7, 0]
    assert len(set(kept.ids[1:].tolist())) == 50
    assert kept.residual == pytest.approx([999 / (math.e**20 + 999), 0.95], rel=1e-4)
    assert kept.next_log_probs == pytest.approx([0, -math.log(1_000)], abs=1e-5)
    assert not np.isin(kept.tail_ids[1], kept.ids[1:]).any()
    assert kept.tail_log_probs[1] == pytest.approx(-math.log(1_000), abs=2e-3)
    # equal steps through equal masses: all over the vocabulary, and no token twice
    assert len(set(kept.tail_ids[1].tolist())) == 64
    assert np.diff(kept.tail_ids[1].astype(int)).max() <= 15 + 50  # a step, and a head in between


def test_a_small_vocabulary_has_no_tail() -> None:
    p, q = logits(4, 10, 100, 1.0), logits(5, 10, 100, 1.0)
    kept = compress(p, np.zeros(10, np.int32), np.random.default_rng(0), tolerance=0.0)
    assert (kept.counts == 100).all()
    assert (kept.residual == 0).all()
    scores = score(kept, q, np.zeros(10, np.int32))
    assert scores.kl == pytest.approx(exact_kl(p, q), rel=1e-3)
    assert (scores.variance == 0).all()


def test_runs_of_distributions_come_apart_and_together_again() -> None:
    p = logits(6, 11, 500, 3.0)
    kept = compress(p, np.arange(11, dtype=np.int32), np.random.default_rng(0), head=20)
    parts = list(kept.blocks([4, 1, 6]))
    assert [len(part) for part in parts] == [4, 1, 6]
    again = concatenate(parts)
    for name, array in kept.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name
