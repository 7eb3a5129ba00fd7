"""How far a model's next-token distributions are from a reference's: pure functions of arrays.

The definitions are those of llama.cpp's perplexity tool (natural logarithms; p the reference's distribution, q the
model's, t the token that follows in the text; n scored tokens):

- perplexity: exp(mean of -log q(t));
- KL divergence of a token: sum over the vocabulary of p * log(p / q);
- top-1 agreement: share of tokens where p and q have the same likeliest token;
- RMS of delta p: root of the mean of (q(t) - p(t))^2.

Standard errors are of the mean of n values taken as independent: root of (variance / (n - 1)); what is computed from a
mean gets its error by the first derivative. Tokens of one text are not quite independent, so the true errors are
somewhat larger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from leafwise.quant.compact import Compact, log_softmax
from leafwise.quant.errors import QuantizeError
from leafwise.runtime.contracts import Contract

_ROWS = 64
_TINY = 1e-30
_MOST_NLL = 700.0  # its exponential is nearly the largest number
_LARGEST_LOG = 100.0  # of a ratio of two probabilities; more is a damaged file


class Perplexity(Contract):
    """How well a model predicts a text."""

    tokens: int = Field(ge=1)
    """Scored tokens."""
    perplexity: float
    """exp of the mean negative log-probability of the next token."""
    perplexity_error: float
    """Its standard error."""


class Divergence(Perplexity):
    """How far a model is from a reference, on the reference's text."""

    reference_perplexity: float
    """That of the reference on these tokens."""
    reference_perplexity_error: float
    """Its standard error."""
    log_ratio: float
    """ln(perplexity / reference perplexity)."""
    log_ratio_error: float
    """Its standard error, which is small because both score the same tokens."""
    mean_kl: float
    """Mean KL divergence per token, in nats."""
    mean_kl_error: float
    """Its standard error: another text of this length and kind would differ so much."""
    mean_kl_storage_error: float
    """Standard error that comes from storing the reference compactly: the full logits would differ so much."""
    mean_kl_bound: float
    """What the mean is at least, whatever the tails' samples say: from heads and residuals alone."""
    median_kl: float
    """Half of the tokens diverge less."""
    p99_kl: float
    """99 % of the tokens diverge less."""
    p999_kl: float
    """99.9 % of the tokens diverge less."""
    max_kl: float
    """The most divergent token."""
    top1: float = Field(ge=0, le=1)
    """Share of tokens where both have the same likeliest next token."""
    top1_error: float
    """Its standard error."""
    rms_delta_p: float
    """Root mean square of the change of the next token's probability."""


@dataclass(frozen=True)
class Scores:
    """What is known of n tokens, each of shape (n,)."""

    kl: NDArray[np.float64]
    """KL divergence."""
    bound: NDArray[np.float64]
    """A lower bound of it."""
    variance: NDArray[np.float64]
    """Variance of `kl` over other samples of the tail."""
    nll: NDArray[np.float64]
    """-log q(t)."""
    reference_nll: NDArray[np.float64]
    """-log p(t)."""
    same_top: NDArray[np.bool_]
    """Whether the likeliest tokens are the same."""


def exact_kl(p_logits: NDArray[np.float32], q_logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """KL divergence of full distributions, from logits of shape (n, n_vocab); shape (n,)."""
    found = np.empty(len(p_logits))
    for at in range(0, len(p_logits), _ROWS):
        log_p, log_q = log_softmax(p_logits[at : at + _ROWS]), log_softmax(q_logits[at : at + _ROWS])
        found[at : at + _ROWS] = (np.exp(log_p, dtype=np.float64) * (log_p - log_q)).sum(axis=1)
    return found


def negative_log_likelihood(logits: NDArray[np.float32], targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """-log q(t) from logits of shape (n, n_vocab) and tokens of shape (n,); shape (n,)."""
    largest = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - largest).sum(axis=1, dtype=np.float64)) + largest[:, 0]
    found: NDArray[np.float64] = log_sum - logits[np.arange(len(targets)), targets]
    return found


def score(reference: Compact, logits: NDArray[np.float32], targets: NDArray[np.int32]) -> Scores:
    """Compare a model's logits with a compact reference, token by token.

    With the head H, the residual R = 1 - p(H), Q = 1 - q(H), and r = (q / Q) / (p / R) for the tokens of the tail::

        KL = sum over H of p log(p / q)  +  R log(R / Q)  +  R E[r - 1 - log r],   the mean over the tail under p / R

    The first two terms are exact and a lower bound (the log-sum inequality). The last one is never negative and is
    estimated by the mean over the tail's sample; as E[r] = 1, the r - 1 changes nothing but the scatter, which becomes
    of second order where p and q are near (J. Schulman, "Approximating KL divergence", 2020).

    Args:
        reference: n distributions.
        logits: the model's, shape (n, n_vocab).
        targets: the tokens that follow in the text, shape (n,).
    """
    parts = []
    lengths = [min(_ROWS, len(logits) - at) for at in range(0, len(logits), _ROWS)]
    for at, block in zip(range(0, len(logits), _ROWS), reference.blocks(lengths), strict=True):
        parts.append(_score(block, log_softmax(logits[at : at + _ROWS]), targets[at : at + _ROWS]))
    return concatenate(parts)


def _score(p: Compact, log_q: NDArray[np.float32], targets: NDArray[np.int32]) -> Scores:
    n = len(p)
    rows, ids = np.repeat(np.arange(n), p.counts), p.ids.astype(np.int64)
    residual = p.residual.astype(np.float64)
    log_p = p.log_probs.astype(np.float64)
    # rounding to float16 must not make the head's mass another one: a proper distribution has no negative divergence
    log_p += np.log((1 - residual).clip(_TINY) / np.bincount(rows, np.exp(log_p), n).clip(_TINY))[rows]
    head = np.bincount(rows, np.exp(log_p) * (log_p - log_q[rows, ids]), n).astype(np.float64)

    outside = np.exp(log_q)
    outside[rows, ids] = 0
    outside_q = outside.sum(axis=1, dtype=np.float64).clip(_TINY)
    has_tail = residual > 0
    inside_r = np.where(has_tail, residual, 1.0)
    lumped: NDArray[np.float64] = np.where(has_tail, residual * np.log(inside_r / outside_q), 0.0)

    log_r = np.take_along_axis(log_q, p.tail_ids.astype(np.int64), 1) - p.tail_log_probs.astype(np.float64)
    log_r = (log_r + np.log(inside_r / outside_q)[:, None]).clip(-_LARGEST_LOG, _LARGEST_LOG)
    within = np.expm1(log_r) - log_r
    return Scores(
        kl=head + lumped + residual * within.mean(axis=1),
        bound=head + lumped,
        variance=residual**2 * within.var(axis=1) / max(1, within.shape[1] - 1),
        nll=-log_q[np.arange(n), targets].astype(np.float64),
        reference_nll=-p.next_log_probs.astype(np.float64),
        same_top=log_q.argmax(axis=1) == ids[np.cumsum(p.counts, dtype=np.int64) - p.counts],
    )


def concatenate(parts: Sequence[Scores]) -> Scores:
    """All tokens of all parts."""
    return Scores(**{field.name: np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Scores)})


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of n values, and its standard error (0 for a single one)."""
    return float(values.mean()), float(values.std() / math.sqrt(max(1, len(values) - 1)))


def perplexity_of(nll: NDArray[np.float64]) -> Perplexity:
    """Perplexity from -log q(t), shape (n,).

    Raises:
        QuantizeError: it is beyond all numbers.
    """
    mean, error = mean_and_error(nll)
    if not mean < _MOST_NLL:
        raise QuantizeError(f"the model makes nothing of the text: -log p is {mean:.4g} on average", "is it damaged?")
    return Perplexity(tokens=len(nll), perplexity=math.exp(mean), perplexity_error=math.exp(mean) * error)


def aggregate(scores: Scores) -> Divergence:
    """The figures of all tokens together. Quantiles are interpolated linearly, as llama.cpp's are."""
    own, reference = perplexity_of(scores.nll), perplexity_of(scores.reference_nll)
    log_ratio, log_ratio_error = mean_and_error(scores.nll - scores.reference_nll)
    mean, error = mean_and_error(scores.kl)
    median, p99, p999, largest = (float(v) for v in np.quantile(scores.kl, (0.5, 0.99, 0.999, 1)))
    top1, top1_error = mean_and_error(scores.same_top.astype(np.float64))
    return Divergence(
        **own.model_dump(),
        reference_perplexity=reference.perplexity,
        reference_perplexity_error=reference.perplexity_error,
        log_ratio=log_ratio,
        log_ratio_error=log_ratio_error,
        mean_kl=mean,
        mean_kl_error=error,
        mean_kl_storage_error=float(np.sqrt(scores.variance.sum()) / len(scores.kl)),
        mean_kl_bound=float(scores.bound.mean()),
        median_kl=median,
        p99_kl=p99,
        p999_kl=p999,
        max_kl=largest,
        top1=top1,
        top1_error=top1_error,
        rms_delta_p=float(np.sqrt(np.mean((np.exp(-scores.nll) - np.exp(-scores.reference_nll)) ** 2))),
    )
