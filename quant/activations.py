"""Starts `native_activations`, a process that runs text through a model, and reads what it says."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from leafwise.quant.errors import QuantizeError
from leafwise.quant.importance import Floats
from leafwise.runtime.contracts import Contract

_TAIL_BYTES = 2_000  # of what a dead process said


class Job(Contract):
    """What to run."""

    model: str
    """The GGUF file."""
    context: int
    """Tokens of a chunk."""
    first: int
    """The chunk to begin with, from 0."""
    last: int
    """The chunk to end before."""
    threads: int
    """Threads that compute."""
    special_tokens: bool = False
    """See `CalibrationText.special_tokens`."""
    shapes: dict[str, tuple[int, ...]]
    """Shape of each tensor as the file's header says."""


@dataclass(frozen=True)
class ChunkSums:
    """What a chunk of text did to the weights."""

    sums: dict[str, Floats]
    """For each weight tensor, sum over the chunk's tokens of x_j^2 per input column j, shape (columns,)."""
    counts: dict[str, Floats]
    """For each weight tensor the number of tokens, shape (1,)."""
    key_maxima: dict[int, Floats]
    """See `ImportanceMatrix.key_maxima`."""


class ActivationRun:
    """A running process; iterate over it for the chunks' sums, and leave the context to end it.

    Raises:
        QuantizeError: it could not do it, or died.
    """

    def __init__(self, job: Job, text: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # a process group of its own: Ctrl-C is for the parent, which has something to save first
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "leafwise.quant.native_activations"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
        )
        assert self._child.stdin is not None
        with suppress(BrokenPipeError), self._child.stdin as pipe:  # reading the answer says why it is broken
            pipe.write(job.model_dump_json().encode() + b"\n" + text.encode("utf-8", "replace"))
        self._job = job

    def __enter__(self) -> ActivationRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()
        self._errors.close()

    def __iter__(self) -> Iterator[tuple[ChunkSums, int]]:
        """For each chunk its sums, and the number of the chunk to end before: the job's, or the text's last."""
        header, _ = self._frame()
        last = min(self._job.last, int(header["chunks"]))
        for _ in range(self._job.first, last):
            yield _sums_of(*self._frame()), last

    def _frame(self) -> tuple[dict[str, Any], Floats]:
        (length,) = struct.unpack("<I", self._read(4))
        header = json.loads(self._read(length))
        if header["kind"] == "error":
            raise QuantizeError(header["message"], header["hint"])
        return header, np.frombuffer(self._read(4 * header["floats"]), "<f4")

    def _read(self, count: int) -> bytes:
        assert self._child.stdout is not None
        data = self._child.stdout.read(count)
        if len(data) < count:
            raise self._death()
        return data

    def _death(self) -> QuantizeError:
        status = self._child.wait()
        self._errors.seek(max(0, self._errors.seek(0, 2) - _TAIL_BYTES))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        words = f": {lines[-1].strip()}" if lines else ""
        how = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return QuantizeError(
            f"the process that runs the model {how}{words}", "was there memory left? see `leafwise doctor`"
        )


def _sums_of(header: dict[str, Any], numbers: Floats) -> ChunkSums:
    tensors, keys = header["sums"], header["keys"]
    sizes = [columns for _, columns, _ in tensors] + [heads * pairs for _, heads, pairs in keys]
    parts = iter(np.split(numbers, np.cumsum(sizes)[:-1]))
    return ChunkSums(
        sums={name: next(parts) for name, _, _ in tensors},
        counts={name: np.array([count], np.float32) for name, _, count in tensors},
        key_maxima={block: next(parts).reshape(heads, pairs) for block, heads, pairs in keys},
    )
