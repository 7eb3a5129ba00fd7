"""Drawing the next token: top-k, top-p, min-p, temperature, as llama.cpp's sampler chain does, in numpy.

llama.cpp's chain copies and often sorts the whole vocabulary for every sequence. Here only the few tokens that can be
drawn are looked at, and the distribution is the same: a token is left out only when what is left in proves that the
chain would cut it too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leafwise.runtime.contracts import Sampling

Logits = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.intp]

_NEAR = 16.0
"""Tokens this many nats below the best one are left alone where they can't matter."""
_FEW = 2048
"""Tokens that are quickly sorted."""
_BINS, _BINS_PER_NAT = 4096, 64.0
"""Depths below the best token that are told apart."""
_BLOCK = 256
"""Weights summed at once when a token is drawn from the whole vocabulary."""


class Distribution:
    """What a model says about the next token.

    Args:
        logits: of the whole vocabulary, shape (n_vocab,).
    """

    def __init__(self, logits: Logits) -> None:
        self.logits = logits
        self.top = logits.max()

    @functools.cached_property
    def weights(self) -> Logits:
        """Probabilities at temperature 1, times an unknown factor. The costly part of a draw."""
        weights: Logits = np.exp(self.logits - self.top)
        return weights

    @functools.cached_property
    def total(self) -> float:
        """Sum of the weights."""
        return float(self.weights.sum())

    def log_probability(self, token: int) -> float:
        """Natural logarithm of a token's probability at temperature 1."""
        return float(self.logits[token] - self.top) - math.log(self.total)

    def without(self, tokens: Sequence[int]) -> Distribution:
        """The same, were these tokens impossible."""
        logits = self.logits.copy()  # other samples may draw from the same
        logits[list(tokens)] = -np.inf
        return Distribution(logits)


class Sampler:
    """Draws tokens for one sequence.

    Args:
        sampling: how.
        seed: equal seeds and equal logits give equal tokens.
    """

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._sampling = sampling
        self._random = np.random.Generator(np.random.PCG64(seed))

    def draw(self, distribution: Distribution) -> int:
        """The next token."""
        if self._sampling.greedy:
            return int(distribution.logits.argmax())
        tokens, weights = candidates(distribution, self._sampling)
        at = _index_of(self._random.random(), weights)
        return at if tokens is None else int(tokens[at])


def candidates(distribution: Distribution, sampling: Sampling) -> tuple[Tokens | None, Logits]:
    """The tokens that can be drawn, and their weights (not normalised).

    Args:
        distribution: of the next token.
        sampling: not a greedy one.

    Returns:
        The tokens' numbers, None if all of them can be drawn; and a weight for each.
    """
    logits, top = distribution.logits, distribution.top
    tokens = _kept(distribution, sampling)
    if sampling.min_p:
        likely = logits if tokens is None else logits[tokens]
        enough = np.flatnonzero(likely >= top + np.log(sampling.min_p))
        tokens = enough if tokens is None else tokens[enough]
    kept = logits if tokens is None else logits[tokens]
    return tokens, np.exp((kept - top) / np.float32(sampling.temperature))


def _kept(distribution: Distribution, sampling: Sampling) -> Tokens | None:
    """The tokens that top-k and then top-p leave, most likely first; None for all."""
    logits, top = distribution.logits, distribution.top
    tokens = _most_likely(logits, top, sampling.top_k) if sampling.top_k else None
    if sampling.top_p >= 1.0:
        return tokens
    if tokens is not None:
        weights = np.exp(logits[tokens] - top)
        return tokens[: _nucleus(weights, sampling.top_p * float(weights.sum()))]
    tokens = _peaked_nucleus(distribution, sampling.top_p)
    return _broad_nucleus(distribution, sampling.top_p) if tokens is None else tokens


def _peaked_nucleus(distribution: Distribution, p: float) -> Tokens | None:
    """The nucleus by sorting the tokens near the best one; None if they are many, or not all of it."""
    logits, top = distribution.logits, distribution.top
    near = np.flatnonzero(logits >= top - _NEAR)
    if len(near) > _FEW:
        return None
    near = _descending(logits, near)
    weights = np.exp(logits[near] - top)
    # the others weigh nothing or this much: mostly the nucleus ends at the same token either way, and the exponentials
    # of a whole vocabulary, which cost more than all else here, are not needed
    sure, others = float(weights.sum()), len(logits) * math.exp(-_NEAR)
    least, most = _nucleus(weights, p * sure), _nucleus(weights, p * (sure + others))
    count = least if least == most else _nucleus(weights, p * distribution.total)
    return near[:count] if count <= len(near) else None


def _broad_nucleus(distribution: Distribution, p: float) -> Tokens:
    """The nucleus by depth below the best token: only the bin in which it ends is sorted."""
    logits, wanted = distribution.logits, p * distribution.total
    bins = np.minimum((distribution.top - logits) * _BINS_PER_NAT, _BINS - 1).astype(np.int32)
    masses = np.cumsum(np.bincount(bins, distribution.weights, _BINS))
    edge = int(np.searchsorted(masses, wanted, side="left"))
    tokens = _descending(logits, np.flatnonzero(bins == edge))
    count = _nucleus(distribution.weights[tokens], wanted - (masses[edge - 1] if edge else 0.0))
    return np.concatenate([np.flatnonzero(bins < edge), tokens[:count]])


def _most_likely(logits: Logits, top: np.float32, k: int) -> Tokens:
    """The k most likely tokens, most likely first."""
    near = np.flatnonzero(logits >= top - _NEAR)
    if len(near) < k:
        near = np.arange(len(logits))
    if len(near) > _FEW > k:
        near = near[np.argpartition(-logits[near], k)[:k]]
    return _descending(logits, near)[:k]


def _nucleus(weights: Logits, wanted: float) -> int:
    """How many of these weights, in their order, are needed for a sum of at least `wanted`."""
    return int(np.searchsorted(np.cumsum(weights, dtype=np.float64), wanted, side="left")) + 1


def _descending(logits: Logits, tokens: Tokens) -> Tokens:
    return tokens[np.argsort(-logits[tokens], kind="stable")]


def _index_of(uniform: float, weights: Logits) -> int:
    """Where a number from [0, 1) falls among the weights."""
    block, at = 0, uniform * float(weights.sum(dtype=np.float64))
    if len(weights) > _BLOCK:  # sums of blocks first: a cumulative sum over a whole vocabulary is slow
        starts = np.arange(0, len(weights), _BLOCK)
        blocks = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))
        block = min(int(np.searchsorted(blocks, at, side="right")), len(blocks) - 1)
        at -= blocks[block - 1] if block else 0.0
    inside = np.cumsum(weights[block * _BLOCK : (block + 1) * _BLOCK], dtype=np.float64)
    return block * _BLOCK + min(int(np.searchsorted(inside, at, side="right")), len(inside) - 1)
