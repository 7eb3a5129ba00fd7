"""Next-token distributions kept in a thousandth of their size, so that a divergence can still be computed from them.

Of each distribution p stay the likeliest tokens with their probabilities (the head), the mass of all others (the
residual R), and a sample of these others (the tail). Head and residual alone give a lower bound of the divergence that
misses some percent of it; the sample makes it unbiased, with a standard error (see `divergence.score`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD = 256
"""Most tokens of a head."""
TOLERANCE = 1e-3
"""A head that leaves no more mass than this is long enough."""
TAIL = 64
"""Tokens of a tail's sample."""
_ROWS = 64  # distributions at once: their work space is some 25 MB for a vocabulary of 49,152
_LEAST = -60_000.0  # what float16 holds


@dataclass(frozen=True)
class Compact:
    """n distributions over a vocabulary. Probabilities are natural logarithms."""

    counts: NDArray[np.uint16]
    """Tokens in each head, shape (n,)."""
    ids: NDArray[np.unsignedinteger[Any]]
    """The heads' tokens one after the other, each head's likeliest first."""
    log_probs: NDArray[np.float16]
    """Their log-probabilities."""
    residual: NDArray[np.float32]
    """Mass outside of the head, shape (n,)."""
    tail_ids: NDArray[np.unsignedinteger[Any]]
    """A sample of the tokens outside of the head, each drawn with probability p / residual, shape (n, samples)."""
    tail_log_probs: NDArray[np.float16]
    """Their log-probabilities."""
    next_log_probs: NDArray[np.float32]
    """Log-probability of the token that follows in the text, shape (n,)."""

    def __len__(self) -> int:
        return len(self.counts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def blocks(self, lengths: Sequence[int]) -> Iterator[Compact]:
        """The distributions in runs of these lengths."""
        first = begin = 0
        for length in lengths:
            last = first + length
            end = begin + int(self.counts[first:last].sum(dtype=np.int64))
            whole = {name: array[first:last] for name, array in self.arrays().items()}
            yield Compact(**whole | {"ids": self.ids[begin:end], "log_probs": self.log_probs[begin:end]})
            first, begin = last, end


def concatenate(parts: Sequence[Compact]) -> Compact:
    """All distributions of all parts, in this order."""
    return Compact(**{field.name: np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Compact)})


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits to natural log-probabilities, shape (n, n_vocab); sums in float64."""
    shifted: NDArray[np.float32] = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return shifted


def compress(
    logits: NDArray[np.float32],
    targets: NDArray[np.int32],
    generator: np.random.Generator,
    *,
    head: int = HEAD,
    tolerance: float = TOLERANCE,
    tail: int = TAIL,
) -> Compact:
    """Distributions from logits.

    A head is the shortest one that leaves at most `tolerance`, and has at most `head` tokens. The tail is sampled
    systematically (one random number a distribution, then equal steps of its cumulated mass): without bias, and less
    scattered than independent draws, the more so as vocabularies are roughly sorted by frequency.

    Args:
        logits: shape (n, n_vocab).
        targets: the tokens that follow in the text, shape (n,).
        generator: where the randomness comes from.
        head: most tokens of a head.
        tolerance: mass that need not be in it.
        tail: tokens of the sample.
    """
    blocks = range(0, len(logits), _ROWS)
    return concatenate(
        [_compress(logits[i : i + _ROWS], targets[i : i + _ROWS], generator, head, tolerance, tail) for i in blocks]
    )


def _compress(
    logits: NDArray[np.float32],
    targets: NDArray[np.int32],
    generator: np.random.Generator,
    head: int,
    tolerance: float,
    tail: int,
) -> Compact:
    n_vocab = logits.shape[1]
    head = min(head, n_vocab)
    id_type: type[np.unsignedinteger[Any]] = np.uint16 if n_vocab <= 2**16 else np.uint32
    log_p = log_softmax(logits)
    order = np.argpartition(-log_p, head - 1, axis=1)[:, :head]
    # ties by number, so that the first one is the token that `argmax` names, also where more tie than the head has
    order = np.take_along_axis(order, np.lexsort((order, -np.take_along_axis(log_p, order, 1)), axis=1), 1)
    order[:, 0] = log_p.argmax(axis=1)
    best = np.take_along_axis(log_p, order, 1)
    covered = np.exp(best, dtype=np.float64).cumsum(axis=1)
    counts = np.minimum((covered < 1 - tolerance).sum(axis=1) + 1, head)
    inside = np.arange(head) < counts[:, None]

    mass = np.exp(log_p, dtype=np.float64)
    mass[np.nonzero(inside)[0], order[inside]] = 0
    cumulated = mass.cumsum(axis=1)
    residual = cumulated[:, -1]
    tail_ids = np.stack([_systematic(row, tail, generator.random()) for row in cumulated])
    tail_log_probs = np.where(residual[:, None] > 0, np.take_along_axis(log_p, tail_ids, 1), 0)
    return Compact(
        counts=counts.astype(np.uint16),
        ids=order[inside].astype(id_type),
        log_probs=best[inside].clip(_LEAST).astype(np.float16),
        residual=residual.astype(np.float32),
        tail_ids=tail_ids.astype(id_type),
        tail_log_probs=tail_log_probs.clip(_LEAST).astype(np.float16),
        next_log_probs=np.take_along_axis(log_p, targets[:, None].astype(np.int64), 1)[:, 0],
    )


def _systematic(cumulated: NDArray[np.float64], count: int, start: float) -> NDArray[np.int64]:
    """Indices where the cumulated mass passes (start + 0, 1, ..., count - 1) / count of all."""
    whole = cumulated[-1]
    points = np.minimum((start + np.arange(count)) / count * whole, np.nextafter(whole, 0))
    found: NDArray[np.int64] = np.searchsorted(cumulated, points, side="right").clip(max=len(cumulated) - 1)
    return found
