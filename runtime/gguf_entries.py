"""What the entries of a GGUF header are made of: arrays of the metadata, and tensors with their types."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from leafwise.runtime.contracts import Contract

# Value types of the metadata, by their number in the file.
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


class Array(NamedTuple):
    """An array of the metadata: its length, and its items if they are few numbers or were asked for."""

    length: int
    items: tuple[Any, ...] = ()
    """Strings are bytes, as the file has them."""
    kind: int = STRING
    """The type of its items, by its number in the file."""


class TensorEntry(NamedTuple):
    """What the header says about one tensor."""

    name: str
    type: str
    """The ggml type, for example `Q4_K`."""
    shape: tuple[int, ...]
    """Elements per dimension, the row's length first."""
    elements: int
    bytes: int
    offset: int
    """Of its data, from where the data of the tensors begins."""


class TensorTypeShare(Contract):
    """What the tensors of one type add up to."""

    type: str
    """The ggml type, for example `Q4_K`."""
    tensors: int
    """Number of tensors."""
    bytes: int
    """Bytes of their data."""
    parameters: int
    """Number of their elements."""


@cache
def tensor_types() -> dict[int, tuple[str, int, int]]:
    """Number of a tensor type -> its name, elements per block, bytes per block."""
    # Imported here: the package brings numpy along (0.15 s), and `open_gguf` is on the path of every command.
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    return {int(t): (str(t.name), *GGML_QUANT_SIZES[t]) for t in GGMLQuantizationType}
