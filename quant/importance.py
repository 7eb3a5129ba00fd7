"""What activations say about weights: the second moments of what each weight tensor is multiplied with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from leafwise.quant.errors import QuantizeError

Floats = NDArray[np.float32]
Key = TypeVar("Key", str, int)


@dataclass(frozen=True)
class ImportanceMatrix:
    """Sums over tokens, as llama.cpp's own imatrix tool defines them, and what FireQ wants to know about keys."""

    sums: Mapping[str, Floats]
    """For each weight tensor, sum over tokens of x_j^2 per input column j, shape (columns,). A tensor of n matrices
    (experts) has them one after the other, shape (n * columns,)."""
    counts: Mapping[str, Floats]
    """For each weight tensor the number of tokens, shape (1,), or (n,) for a tensor of n matrices."""
    chunks: int
    """Pieces of text that were run."""
    chunk_size: int
    """Tokens of each."""
    datasets: tuple[str, ...] = ()
    """The texts, in words."""
    key_maxima: Mapping[int, Floats] = field(default_factory=dict)
    """For each block, max over tokens of sqrt(k_i^2 + k_i'^2) of each pair (i, i') that RoPE rotates, shape
    (KV heads, pairs). A rotation keeps that length (FireQ, arXiv 2505.20839). Empty where nobody gathered it."""
    model_sha256: str = ""
    """Of the file that was run; empty where that is not known, or where matrices of several were merged."""
    text_sha256: str = ""
    """Of the text; empty where that is not known, or where matrices were merged."""
    sha256: str = ""
    """Of the file this was read from or written to; empty where there is none."""

    def mean(self, name: str) -> Floats:
        """E[x_j^2] of each input column of a weight tensor, shape (columns,), or (n * columns,) for n matrices.

        An expert that no token came to gets 1 everywhere, as in llama.cpp.

        Raises:
            KeyError: nothing is known of this tensor.
        """
        counts = self.counts[name]
        sums = self.sums[name].reshape(counts.size, -1)
        known = counts[:, None] > 0
        means = np.where(known, sums / np.where(known, counts[:, None], 1), 1)
        return means.astype(np.float32).ravel()


def merge(*matrices: ImportanceMatrix) -> ImportanceMatrix:
    """As if all the texts had been run: sums and counts are added, maxima are the larger ones.

    A tensor that only some of them know keeps what these know. The whole is of no one text, not even of the same one
    twice: what was merged cannot be resumed.

    Raises:
        QuantizeError: there is nothing to merge, or a tensor has different shapes: they are of different models.
    """
    if not matrices:
        raise QuantizeError("no importance matrix to merge", "give at least one")
    return reduce(_add, matrices)


def _add(one: ImportanceMatrix, other: ImportanceMatrix) -> ImportanceMatrix:
    counts = _union(one.counts, other.counts, np.add)
    if one.chunk_size == other.chunk_size:
        chunks = one.chunks + other.chunks
    else:  # llama.cpp counts these in chunks of the first one's size
        chunks = int(max((float(count.max()) for count in counts.values()), default=0) // max(one.chunk_size, 1))
    return ImportanceMatrix(
        sums=_union(one.sums, other.sums, np.add),
        counts=counts,
        chunks=chunks,
        chunk_size=one.chunk_size,
        datasets=tuple(dict.fromkeys(one.datasets + other.datasets)),
        key_maxima=_union(one.key_maxima, other.key_maxima, np.maximum),
        model_sha256=one.model_sha256 if one.model_sha256 == other.model_sha256 else "",
    )


def _union(one: Mapping[Key, Floats], other: Mapping[Key, Floats], add: np.ufunc) -> dict[Key, Floats]:
    result = dict(one)
    for key, values in other.items():
        mine = result.get(key)
        if mine is None:
            result[key] = values
            continue
        if mine.shape != values.shape:
            what = key if isinstance(key, str) else f"the keys of block {key}"
            raise QuantizeError(
                f"{what}: {mine.shape} and {values.shape} do not fit together",
                "merge importance matrices of the same model only",
            )
        result[key] = add(mine, values)
    return result
