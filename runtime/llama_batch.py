"""A batch as llama.cpp wants it, filled from rows."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import llama_cpp
import numpy as np


class Row(NamedTuple):
    """One token of a batch."""

    token: int
    """The token's number."""
    position: int
    """Its place in its sequence, from 0."""
    sequence: int
    """The sequence it belongs to."""
    wants_logits: bool
    """Whether the next token will be drawn after it."""


class Batch:
    """A `llama_batch` whose arrays are numpy's, so that a step fills them with a few assignments."""

    def __init__(self, size: int) -> None:
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._sequences = np.zeros(size, np.int32)
        self._logits = np.zeros(size, np.int8)
        # llama.cpp wants a pointer per row to the row's list of sequences; every list here has one element
        self._lists = self._sequences.ctypes.data + np.arange(size, dtype=np.uintp) * self._sequences.itemsize
        self.native = llama_cpp.llama_batch(0, *(None for _ in range(6)))
        for field, array in (
            ("token", self._tokens),
            ("pos", self._positions),
            ("n_seq_id", self._counts),
            ("seq_id", self._lists),
            ("logits", self._logits),
        ):
            kind = dict(llama_cpp.llama_batch._fields_)[field]
            setattr(self.native, field, ctypes.cast(array.ctypes.data, kind))

    def fill(self, rows: Sequence[Row]) -> None:
        """Let the batch be these rows."""
        count = self.native.n_tokens = len(rows)
        columns = np.array(rows, dtype=np.int32).T
        self._tokens[:count], self._positions[:count], self._sequences[:count], self._logits[:count] = columns
