"""What encoding a tensor loses, weighted with the second moments of the inputs that it is multiplied with.

For a matrix W of rows w and an input x, the squared error of the product is sum over rows of ((w - q(w)) . x)^2. Its
expectation, with the products of different inputs left out, is sum over rows and columns of E[x_j^2] (w_j - q(w_j))^2:
the diagonal of the layer's Hessian in place of HAWQ-V3's average trace (arXiv 2011.10680, there Omega).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leafwise.quant.gguf_tensors import TensorFile
from leafwise.quant.native_ggml import Floats, decode, encode
from leafwise.quant.tensor_types import TensorType
from leafwise.runtime.gguf_entries import TensorEntry

_BLOCK_ELEMENTS = 2**19  # small, so that Ctrl-C waits for no more than a few seconds of the slowest encoder
_PIECE_ROWS, _LEAST_PIECES = 4, 16  # of a sample


class Errors(NamedTuple):
    """Of one tensor."""

    energy: float
    """sum of E[x_j^2] * w_j^2."""
    errors: dict[str, float]
    """For each type's name sum of E[x_j^2] * (w_j - q(w_j))^2."""


def weighted_squares(values: Floats, weights: NDArray[np.float64]) -> float:
    """Sum weights_j * values_ij^2 over rows i and columns j, the columns' sums in float64.

    Args:
        values: shape (rows, columns).
        weights: shape (columns,).
    """
    return float(np.square(values).sum(axis=0, dtype=np.float64) @ weights)


def encoding_errors(
    file: TensorFile,
    entry: TensorEntry,
    types: Sequence[TensorType],
    *,
    encoding: Floats | None,
    weighting: Floats | None,
    threads: int,
    sample: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> Errors:
    """Encode a tensor in every type, decode it again, and sum up what is lost. Deterministic for any `threads`.

    Args:
        file: where it is.
        entry: the tensor.
        types: all of which its rows fit.
        encoding: the importance that the encoder gets, as llama.cpp would give it: shape (columns,), or
            (matrices * columns,) for a tensor of many matrices (experts); None for none.
        weighting: E[x^2] for the error, of the same shape; None takes 1 for all.
        threads: row blocks that are worked on at a time, and held in memory.
        sample: the part of the rows that is encoded, evenly spread: its relative error is taken for that of all.
        progress: told the number of elements encoded since it was last told; called by this thread.

    Raises:
        QuantizeError: the values or the importance are not usable, or an importance is missing or too short.
        ModelFileError: the file cannot be read.
    """
    columns, rows = entry.shape[0], entry.shape[1]
    matrices = math.prod(entry.shape[2:])
    blocks = _row_blocks(rows, columns, sample)
    places = [(matrix, begin, count) for matrix in range(matrices) for begin, count in blocks]
    same = entry.type.lower()  # llama.cpp copies what has the type already

    stop = Event()

    def work(place: tuple[int, int, int]) -> NDArray[np.float64]:
        matrix, begin, count = place
        values = file.rows(entry, matrix * rows + begin, count)
        given = part_of(encoding, matrix, columns)
        squares = part_of(weighting, matrix, columns)
        weights = np.ones(columns) if squares is None else squares.astype(np.float64)
        sums = [weighted_squares(values, weights)]
        for type_ in types:
            if type_.name == same or stop.is_set():
                sums.append(0.0)
                continue
            decoded = decode(encode(values, type_, given), type_, (columns, count))
            sums.append(weighted_squares(np.subtract(values, decoded, out=decoded), weights))
        return np.array(sums)

    try:
        results = _in_order(work, places, threads, lambda place: progress and progress(place[2] * columns * len(types)))
    except BaseException:
        stop.set()
        raise
    total = np.sum(results, axis=0)
    if sample < 1 and total[0] > 0:
        # Rows differ in size far more than in relative error, and the size of all of them is cheap to know.
        whole = encoding_errors(file, entry, (), encoding=None, weighting=weighting, threads=threads)
        total *= whole.energy / total[0]
    return Errors(float(total[0]), {type_.name: float(total[i]) for i, type_ in enumerate(types, 1)})


def _row_blocks(rows: int, columns: int, sample: float) -> list[tuple[int, int]]:
    """Where blocks of rows begin, and how many rows they have: all of them, or evenly spread a part."""
    step = max(1, _BLOCK_ELEMENTS // columns)
    if sample >= 1 or rows <= _PIECE_ROWS * _LEAST_PIECES:
        return [(begin, min(step, rows - begin)) for begin in range(0, rows, step)]
    pieces = max(_LEAST_PIECES, math.ceil(rows * sample / _PIECE_ROWS))
    begins = np.linspace(0, rows - _PIECE_ROWS, pieces).astype(int)
    return [(int(begin), _PIECE_ROWS) for begin in begins]


def part_of(importance: Floats | None, matrix: int, columns: int) -> Floats | None:
    """One matrix's importance, shape (columns,), of that of a tensor of many (experts)."""
    return None if importance is None else importance[matrix * columns : (matrix + 1) * columns]


def _in_order(
    work: Callable[[tuple[int, int, int]], NDArray[np.float64]],
    places: Sequence[tuple[int, int, int]],
    threads: int,
    done: Callable[[tuple[int, int, int]], object],
) -> list[NDArray[np.float64]]:
    """The results for all places; at the first error, or Ctrl-C, what has not begun is left."""
    pool = ThreadPoolExecutor(threads)  # native code lets other threads run
    try:
        futures: dict[Future[NDArray[np.float64]], tuple[int, int, int]] = {pool.submit(work, p): p for p in places}
        waiting = set(futures)
        while waiting:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                future.result()
                done(futures[future])
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
