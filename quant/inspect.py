"""What a GGUF file is made of: bits and, beside the full-precision file, relative errors of every tensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_tensors import TensorFile
from leafwise.quant.tensor_names import block_of, kind_of
from leafwise.runtime.contracts import Contract
from leafwise.runtime.gguf_contents import Contents, read_contents
from leafwise.runtime.gguf_entries import TensorEntry

Floats = NDArray[np.float32]
Importance = Mapping[str, Floats]
"""For each tensor's name E[x_j^2] of every column j, shape (columns,), or (n * columns,) for a tensor of n matrices."""

KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""The matrices of a Llama's block, in the order of the table's columns."""
_CHUNK = 4 * 2**20  # elements decoded at once
_OURS = "leafwise."  # what our own tools note in the metadata begins with it
_LONGEST_NOTE = 200


class InspectedTensor(Contract):
    """One tensor of the file."""

    name: str
    """As in the file, for example `blk.0.ffn_down.weight`."""
    kind: str
    """The name without block and suffix, for example `ffn_down`."""
    block: int | None
    """The transformer block; None outside of them."""
    shape: tuple[int, ...]
    """Elements per dimension, the row's length first."""
    type: str
    """The ggml type, for example `Q4_K`."""
    bytes: int = Field(ge=0)
    """Size of its data."""
    bits: float = Field(ge=0)
    """Per weight."""
    error: float | None = None
    """sqrt(sum E[x_j^2] (w_j - q_j)^2 / sum E[x_j^2] w_j^2) over rows and columns j: the error relative to the weights,
    where E[x_j^2] is 1 without an importance matrix. None where there is no reference, or nothing was lost to measure:
    the tensor is all zeros.
    """


class Inspection(Contract):
    """What a file is made of."""

    file_bytes: int = Field(ge=0)
    """Size of the file."""
    architecture: str
    """For example `llama`."""
    parameters: int = Field(ge=0)
    """Elements of all tensors."""
    bits_per_weight: float = Field(ge=0)
    """Over all tensors."""
    types: dict[str, float]
    """For each type its part of all bytes, the largest first."""
    tensors: tuple[InspectedTensor, ...]
    """In the order of the file."""
    error: float | None = None
    """As a tensor's, over all that could be measured."""
    reference: str | None = None
    """Name of the full-precision file."""
    weighted: bool = False
    """Whether errors are weighted with an importance matrix."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """What our own quantizer noted: `leafwise.*` of the metadata, and the figures of its recipe."""

    def at(self, block: int | None, kind: str) -> InspectedTensor | None:
        """The matrix of a kind in a block; None where there is none."""
        found = (t for t in self.tensors if t.block == block and t.kind == kind and t.name.endswith(".weight"))
        return next(found, None)

    @property
    def blocks(self) -> list[int]:
        """The transformer blocks that have tensors, ascending."""
        return sorted({tensor.block for tensor in self.tensors if tensor.block is not None})

    @property
    def kinds(self) -> list[str]:
        """The kinds of matrices in blocks: a Llama's in their order, then others."""
        found = {t.kind for t in self.tensors if t.block is not None and len(t.shape) > 1}
        return [*(kind for kind in KINDS if kind in found), *sorted(found.difference(KINDS))]

    @property
    def outside(self) -> list[InspectedTensor]:
        """The matrices outside of blocks: embeddings and output."""
        return [tensor for tensor in self.tensors if tensor.block is None and len(tensor.shape) > 1]


def inspect(
    path: Path,
    *,
    reference: Path | None = None,
    importance: Importance | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Look into a file; with a reference, every tensor is decoded, a piece at a time.

    Args:
        path: the file.
        reference: the full-precision file it was made of.
        importance: to weight errors with.
        progress: told the elements compared, and of all.

    Raises:
        ModelFileError: one of the files cannot be read or is no usable GGUF.
        QuantizeError: the reference is of another model, or a tensor cannot be decoded.
    """
    contents = read_contents(path)
    sums: dict[str, tuple[float, float]] = {}
    if reference is not None:
        sums = _compare(path, reference, importance or {}, progress)
    tensors = tuple(_inspected(entry, sums.get(entry.name)) for entry in contents.tensors)
    header = contents.header
    lost = sum(error for error, _ in sums.values())
    energy = sum(energy for _, energy in sums.values())
    return Inspection(
        file_bytes=contents.file_bytes,
        architecture=header.architecture,
        parameters=header.parameters,
        bits_per_weight=header.bits_per_weight,
        types={share.type: share.bytes / max(1, header.weight_bytes) for share in header.tensor_types},
        tensors=tensors,
        error=(lost / energy) ** 0.5 if energy else None,
        reference=reference.name if reference else None,
        weighted=reference is not None and bool(importance),
        provenance=_provenance(contents),
    )


def _inspected(entry: TensorEntry, sums: tuple[float, float] | None) -> InspectedTensor:
    error = (sums[0] / sums[1]) ** 0.5 if sums and sums[1] else None
    return InspectedTensor(
        name=entry.name,
        kind=kind_of(entry.name),
        block=block_of(entry.name),
        shape=entry.shape,
        type=entry.type,
        bytes=entry.bytes,
        bits=8 * entry.bytes / entry.elements,
        error=error,
    )


def _compare(
    path: Path, reference: Path, importance: Importance, progress: Callable[[int, int], None] | None
) -> dict[str, tuple[float, float]]:
    """For each matrix that both files have, sum E[x^2] (w - q)^2 and sum E[x^2] w^2."""
    sums: dict[str, tuple[float, float]] = {}
    with TensorFile(path) as made, TensorFile(reference) as full:
        originals = {entry.name: entry for entry in full.entries}
        entries = [entry for entry in made.entries if len(entry.shape) > 1]
        total, done = sum(entry.elements for entry in entries), 0
        for entry in entries:
            original = originals.get(entry.name)
            if original is None or original.shape != entry.shape:
                raise QuantizeError(
                    f"{reference.name} has no {entry.name} of the shape {entry.shape}", "is it the same model's?"
                )
            weights = _weights(importance.get(entry.name), entry)
            sums[entry.name] = _sums(made, entry, full, original, weights)
            done += entry.elements
            if progress:
                progress(done, total)
    return sums


def _weights(importance: Floats | None, entry: TensorEntry) -> NDArray[np.float64]:
    """E[x_j^2] for every column of every matrix of a tensor, shape (matrices, columns)."""
    columns, rows = entry.shape[0], entry.shape[1]
    matrices = entry.elements // (columns * rows)
    if importance is None:
        return np.ones((matrices, columns))
    if importance.size != matrices * columns:
        raise QuantizeError(
            f"the importance matrix has {importance.size:,} values for {entry.name}, not {matrices * columns:,}",
            "is it of the same model?",
        )
    return importance.astype(np.float64).reshape(matrices, columns)


def _sums(
    made: TensorFile, entry: TensorEntry, full: TensorFile, original: TensorEntry, weights: NDArray[np.float64]
) -> tuple[float, float]:
    columns, rows = entry.shape[0], entry.shape[1]
    step = max(1, _CHUNK // columns)
    error = energy = 0.0
    for matrix, weight in enumerate(weights):
        for first in range(0, rows, step):
            begin, count = matrix * rows + first, min(step, rows - first)
            wanted = full.rows(original, begin, count)
            difference = wanted - made.rows(entry, begin, count)
            error += float(np.einsum("ij,ij,j->", difference, difference, weight))
            energy += float(np.einsum("ij,ij,j->", wanted, wanted, weight))
    return error, energy


def _provenance(contents: Contents) -> dict[str, str]:
    """What our own tools noted; the recipe's long lists of tensors are left out."""
    found: dict[str, str] = {}
    for key, value in contents.metadata.items():
        if not key.startswith(_OURS) or not isinstance(value, str | int | float):
            continue
        name = key.removeprefix(_OURS)
        figures = _recipe_figures(value) if name == "recipe" and isinstance(value, str) else None
        found.update(figures if figures is not None else {name: str(value)[:_LONGEST_NOTE]})
    return found


def _recipe_figures(text: str) -> dict[str, str] | None:
    """What a recipe was asked for, and its figures; None where the text is no recipe."""
    try:
        recipe = json.loads(text)
        parts = {part: recipe.get(part) or {} for part in ("asked", "predicted", "measured")}
        return {
            f"{part} {name}": f"{value:.6g}" if isinstance(value, float) else str(value)[:_LONGEST_NOTE]
            for part, figures in parts.items()
            for name, value in figures.items()
        }
    except (ValueError, AttributeError):
        return None
