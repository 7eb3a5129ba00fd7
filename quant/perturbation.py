"""A copy of a full-precision model in which some weights are what a type leaves of them, others as they were."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np

from leafwise.quant.costs import Importances, importances_of, is_tied
from leafwise.quant.encoding_error import part_of
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_tensors import TensorFile
from leafwise.quant.native_ggml import Floats, decode, encode
from leafwise.quant.tensor_types import TensorType
from leafwise.runtime.gguf_entries import TensorEntry

_BLOCK_ELEMENTS = 1 << 22  # of a tensor in memory at once


class PerturbedCopy:
    """The copy; a context manager that deletes it.

    Cheaper than quantizing: sizes stay, so that only the changed tensors are written. What is decoded is stored in the
    source's own type, whose rounding is small beside a quantization's.

    Args:
        source: a GGUF file in F32, F16 or BF16.
        target: the copy; its disk needs room for all of it.
        importance: for the encoders, as in `costs.cost_table`.

    Raises:
        ModelFileError: the source is not a usable GGUF.
        QuantizeError: it cannot be copied.
    """

    def __init__(self, source: Path, target: Path, importance: Importances | None) -> None:
        self.path = target
        """The copy."""
        self._importance = importance
        self._file = TensorFile(source)
        self._entries = {entry.name: entry for entry in self._file.entries}
        self._changed: list[TensorEntry] = []
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            self._file.close()
            target.unlink(missing_ok=True)
            raise QuantizeError(f"cannot copy {source.name}: {error.strerror}", "free some disk space") from error

    def __enter__(self) -> PerturbedCopy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def perturb(self, types: Iterable[tuple[str, TensorType]], threads: int = 1) -> None:
        """Restore what was changed before, and write what the types leave of these tensors.

        Raises:
            QuantizeError: there is no such tensor, or it cannot have the type.
        """
        with self.path.open("r+b") as copy:
            for entry in self._changed:
                self._write(copy.fileno(), entry, None, threads)
            self._changed = []
            for name, type_ in types:
                if name not in self._entries:
                    raise QuantizeError(f"there is no tensor {name}", "was this made for another model?")
                self._changed.append(self._entries[name])
                self._write(copy.fileno(), self._entries[name], type_, threads)

    def _write(self, handle: int, entry: TensorEntry, type_: TensorType | None, threads: int) -> None:
        own, _ = importances_of(entry, self._importance, is_tied(self._file))
        columns, rows = entry.shape[:2]
        step = max(1, _BLOCK_ELEMENTS // columns)
        places = ((matrix, at) for matrix in range(math.prod(entry.shape[2:])) for at in range(0, rows, step))
        for matrix, at in places:
            begin = matrix * rows + at
            values = self._file.rows(entry, begin, min(step, rows - at))
            if type_ is not None:
                given = part_of(own, matrix, columns)
                values = decode(encode(values, type_, given, threads), type_, (columns, len(values)))
            data = _stored(values, entry.type)
            os.pwrite(handle, data, self._file.place(entry) + len(data) // len(values) * begin)


def _stored(values: Floats, type_: str) -> bytes:
    """Float32 values in a full-precision type, rounded to nearest even."""
    match type_.lower():
        case "f32":
            return values.tobytes()
        case "f16":
            return values.astype(np.float16).tobytes()
        case "bf16":
            bits = values.view(np.uint32)
            return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()
        case _:
            raise QuantizeError(f"the source is in {type_}, not in full precision", "start from an F16 file")
