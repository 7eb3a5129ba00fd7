"""Writes a GGUF file whose tensors come a piece at a time: the header by the `gguf` package, the data here.

The package's writer wants each tensor whole; an embedding of Llama 3 takes 2 GB in F32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter

from leafwise.quant.errors import QuantizeError
from leafwise.quant.float_formats import STORED, FloatType

ALIGNMENT = 32
"""Every tensor begins at a multiple of it: GGUF's default."""

_SCALARS = {
    "u32": GGUFValueType.UINT32,
    "f32": GGUFValueType.FLOAT32,
    "bool": GGUFValueType.BOOL,
    "text": GGUFValueType.STRING,
}
_ARRAYS = {
    "texts": GGUFValueType.STRING,
    "i32s": GGUFValueType.INT32,
    "f32s": GGUFValueType.FLOAT32,
}


class Entry(NamedTuple):
    """A value of the metadata."""

    kind: str
    """`u32`, `f32`, `bool`, `text`, or an array: `texts`, `i32s`, `f32s`."""
    value: object
    """The value, or the sequence of them."""


class Planned(NamedTuple):
    """A tensor to write."""

    name: str
    """In the file."""
    shape: tuple[int, ...]
    """Rows first, as numpy has it."""
    type: FloatType
    """How it is stored."""
    pieces: Callable[[], Iterable[npt.NDArray[np.generic]]]
    """Gives its elements in order, stored as `type`, a few rows at a time."""

    @property
    def bytes(self) -> int:
        """Of its data."""
        return int(np.prod(self.shape, dtype=np.int64)) * STORED[self.type].itemsize


def planned_bytes(tensors: Sequence[Planned]) -> int:
    """What the tensors' data takes in the file."""
    return sum(-(-tensor.bytes // ALIGNMENT) * ALIGNMENT for tensor in tensors)


def write_gguf(
    path: Path,
    architecture: str,
    metadata: Mapping[str, Entry],
    tensors: Sequence[Planned],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a file; at any time only one piece of one tensor is in memory.

    Args:
        path: the file, which is overwritten.
        architecture: for example `llama`.
        metadata: by key; empty texts and arrays are left out.
        tensors: in the file's order.
        progress: told the bytes of data written, and of all.

    Raises:
        OSError: the file cannot be written.
        QuantizeError: a tensor's pieces do not add up to it.
    """
    writer = GGUFWriter(path, architecture)
    for key, (kind, value) in metadata.items():
        if kind in _SCALARS and value != "":
            writer.add_key_value(key, value, _SCALARS[kind])
        elif kind in _ARRAYS and value:
            writer.add_key_value(key, value, GGUFValueType.ARRAY, _ARRAYS[kind])
    for tensor in tensors:
        kind = GGMLQuantizationType[tensor.type.upper()]
        writer.add_tensor_info(tensor.name, tensor.shape, STORED[tensor.type], tensor.bytes, raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()
    total, done = sum(tensor.bytes for tensor in tensors), 0
    with path.open("ab") as file:
        for tensor in tensors:
            _pad(file)
            done = _write(file, tensor, done, total, progress)
        _pad(file)


def _write(file: BinaryIO, tensor: Planned, done: int, total: int, progress: Callable[[int, int], None] | None) -> int:
    end = done + tensor.bytes
    for piece in tensor.pieces():
        data = np.ascontiguousarray(piece, dtype=STORED[tensor.type])
        file.write(data.data)
        done += data.nbytes
        if progress:
            progress(done, total)
    if done != end:
        raise QuantizeError(f"the tensor {tensor.name} has {done - end:+} bytes more than it should", "is it complete?")
    return done


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))
