"""Our sampler has the distribution of llama.cpp's chain: probabilities compared one by one, draws counted."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
import pytest

from leafwise.runtime.contracts import Sampling
from leafwise.runtime.sampling import Distribution, Logits, Sampler, candidates

SETTINGS = [
    Sampling(temperature=1.0),
    Sampling(temperature=0.6),
    Sampling(temperature=0.8, top_p=0.95),
    Sampling(temperature=1.3, top_p=0.5),
    Sampling(temperature=0.8, top_k=40),
    Sampling(temperature=0.9, top_k=5, top_p=0.9),
    Sampling(temperature=1.0, min_p=0.05),
    Sampling(temperature=0.7, top_k=50, top_p=0.95, min_p=0.1),
    Sampling(temperature=2.0, top_k=1),
]


def peaked(seed: int) -> Logits:
    """Like a language model's: a few likely tokens far above a broad rest."""
    logits = np.random.default_rng(seed).normal(0, 3, 3000).astype(np.float32)
    logits[:4] += 12
    return logits


def flat(seed: int) -> Logits:
    """All but equally likely."""
    return np.random.default_rng(seed).normal(0, 0.3, 5000).astype(np.float32)


def chain_probabilities(logits: Logits, sampling: Sampling) -> npt.NDArray[np.float64]:
    """What llama.cpp's own chain would draw from."""
    llama_cpp = pytest.importorskip("llama_cpp")
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    links = [llama_cpp.llama_sampler_init_top_k(sampling.top_k)] if sampling.top_k else []
    links += [llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1)] if sampling.top_p < 1 else []
    links += [llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1)] if sampling.min_p else []
    links += [llama_cpp.llama_sampler_init_temp(sampling.temperature), llama_cpp.llama_sampler_init_dist(1)]
    for link in links:
        llama_cpp.llama_sampler_chain_add(chain, link)
    kind = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
    tokens = np.zeros(len(logits), kind)
    tokens["id"], tokens["logit"] = np.arange(len(logits)), logits
    data = ctypes.cast(tokens.ctypes.data, ctypes.POINTER(llama_cpp.llama_token_data))
    array = llama_cpp.llama_token_data_array(data=data, size=len(tokens), selected=-1, sorted=False)
    llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
    llama_cpp.llama_sampler_free(chain)
    left = tokens[: array.size]
    probabilities = np.zeros(len(logits))
    # the draw itself may leave the probabilities unfinished, so they are made from what the chain left of the logits
    weights = np.exp(left["logit"].astype(np.float64) - left["logit"].max())
    probabilities[left["id"]] = weights / weights.sum()
    return probabilities


def our_probabilities(logits: Logits, sampling: Sampling) -> npt.NDArray[np.float64]:
    tokens, weights = candidates(Distribution(logits), sampling)
    probabilities = np.zeros(len(logits))
    probabilities[np.arange(len(logits)) if tokens is None else tokens] = weights / weights.sum(dtype=np.float64)
    return probabilities


@pytest.mark.parametrize("make", [peaked, flat])
@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_the_probabilities_are_those_of_the_chain(make: object, sampling: Sampling, seed: int) -> None:
    logits = peaked(seed) if make is peaked else flat(seed)
    ours, theirs = our_probabilities(logits, sampling), chain_probabilities(logits, sampling)
    np.testing.assert_allclose(ours, theirs, atol=2e-6, rtol=2e-4)


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_the_draws_follow_the_chain_s_probabilities(sampling: Sampling) -> None:
    logits, draws = peaked(1)[:600], 20_000
    expected = chain_probabilities(logits, sampling) * draws
    sampler, distribution = Sampler(sampling, 1), Distribution(logits)
    counts = np.bincount([sampler.draw(distribution) for _ in range(draws)], minlength=len(logits))
    assert counts[expected == 0].sum() == 0
    often = expected >= 5
    observed = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum())
    if wanted[-1] == 0:
        observed, wanted = observed[:-1], wanted[:-1]
    # chi-square has a mean of its degrees of freedom and a variance of twice that; the seed is fixed, so this either
    # always passes or never does
    freedom = len(wanted) - 1
    assert ((observed - wanted) ** 2 / wanted).sum() <= freedom + 4 * (2 * freedom) ** 0.5


def test_greedy_takes_the_first_of_the_most_likely() -> None:
    logits = np.array([0, 3, 1, 3], np.float32)
    for temperature in (0.0, 1e-46, 1e-38, 9e-7):
        assert Sampler(Sampling(temperature=temperature), 5).draw(Distribution(logits)) == 1
    assert Sampler(Sampling(temperature=2e-6), 5).draw(Distribution(logits)) in (1, 3)


def test_equal_seeds_draw_equal_tokens() -> None:
    distribution = Distribution(flat(3))
    first, second, other = (Sampler(Sampling(temperature=1.0), seed) for seed in (4, 4, 5))
    draws = [[sampler.draw(distribution) for _ in range(30)] for sampler in (first, second, other)]
    assert draws[0] == draws[1] != draws[2]


def test_impossible_tokens_are_never_drawn() -> None:
    logits = np.full(1000, -np.inf, np.float32)
    logits[700] = 1.0
    for sampling in SETTINGS:
        assert Sampler(sampling, 1).draw(Distribution(logits)) == 700


def test_the_log_probability_is_that_of_a_softmax() -> None:
    logits = peaked(2)
    exact = logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64))
    assert Distribution(logits).log_probability(2) == pytest.approx(exact[2], abs=1e-5)
    assert Distribution(logits).without([2]).log_probability(2) == -np.inf
    assert np.isfinite(logits).all()
