"""Quantizing a GGUF file by a recipe or to one of llama.cpp's named mixes, so that nothing is lost or silent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from leafwise.quant.contracts import Recipe
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_layout import TensorPlace, read_layout, room_for, type_bytes, type_number, write_entries
from leafwise.quant.gguf_tensors import model_sha256
from leafwise.quant.mixes import EMBEDDINGS, IMPORTANCE_TYPES, MIXES, Mix
from leafwise.quant.quantizer_process import Order, Report, run_quantizer
from leafwise.quant.recipes import check_recipe
from leafwise.quant.safe_write import whole_file
from leafwise.quant.tensor_names import quantizable
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_contents import read_contents
from leafwise.runtime.gguf_header import GGUFHeader, read_header
from leafwise.runtime.gguf_values import data_sha256

__all__ = ["MIXES", "Importance", "Mix", "Quantized", "plan_mix", "quantize"]

log = logging.getLogger(__name__)

Importance = Mapping[str, NDArray[np.float32]]
"""An importance matrix: for each tensor's name E[x_j^2] for every column j (of every expert)."""
_FULL_PRECISION = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8"}
_PREFIX = "leafwise."
_RECIPE_KEY = f"{_PREFIX}recipe"
_HASH_KEY = f"{_PREFIX}data_sha256"
_MARGIN = 1.05  # of a mix's size, which is only about known
_HEADER_BYTES = 2**20
# The file type that llama.cpp shows for a recipe: that of the type with the most bytes. It decides nothing more.
_FILE_TYPES = {
    "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q8_0": 7, "q2_k": 10, "q3_k": 12, "q4_k": 15, "q5_k": 17, "q6_k": 18,
    "iq4_nl": 25, "iq4_xs": 30, "iq3_s": 26, "iq3_xxs": 23, "iq2_s": 28, "iq2_xs": 20, "iq2_xxs": 19, "iq1_s": 24,
    "iq1_m": 31,
}  # fmt: skip


class Quantized(GGUFHeader):
    """The header of the new file, and how it came about."""

    fallbacks: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """For each tensor whose rows do not fit the mix's type: that type, and the one llama.cpp took instead."""
    unweighted: int = 0
    """Quantized tensors for which the importance matrix had nothing; all of them where there was none."""
    peak_bytes: int = 0
    """Peak resident memory of the quantizer, the mapped pages of the input among it."""


def quantize(
    source: Path,
    target: Path,
    mix: Mix | Recipe,
    *,
    importance: Importance | None = None,
    requantize: bool = False,
    replace: bool = False,
    pure: bool = False,
    most_bytes: int | None = None,
    threads: int = 0,
    metadata: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Quantized:
    """Quantize a GGUF file.

    The result is written beside the target under another name, read back, compared with the recipe tensor by tensor,
    synced to the disk, and only then renamed: the target is whole or not there. Its metadata says how it was made, in
    entries named `leafwise.*`.

    Args:
        source: the input; it is never written to.
        target: the output.
        mix: from `MIXES`, or a recipe made for this very file.
        importance: weights for the columns, for the encoders.
        requantize: accept an input that is quantized already, whose loss adds to the new one.
        replace: let the output replace a file.
        pure: of a mix, the same type for every tensor.
        most_bytes: of the output; a larger one is not kept.
        threads: 0 for one per core.
        metadata: more texts for the metadata, for example {"reference_sha256": ...}.
        progress: told the number of tensors done, and of all.

    Returns:
        The header of the new file, and what was noticed on the way.

    Raises:
        ModelFileError: the input is no usable GGUF.
        QuantizeError: it cannot be quantized as asked, or the output cannot be written.
    """
    header = read_header(source)
    tensors = read_layout(source).tensors
    check_input(header, source, requantize=requantize)
    matrix = _check_importance(importance, tensors)
    types = _check_mix(mix, source, tensors, matrix)
    entries = _entries(mix, matrix, metadata or {})
    order = Order(
        source, target, _file_type(mix, tensors), {name: type_number(type_) for name, type_ in types.items()}, matrix,
        pure=pure, threads=threads, room=room_for(entries) + 256,
    )  # fmt: skip
    needed = _needed_bytes(mix, header, tensors, types)
    with whole_file(target, replace=replace, needed_bytes=needed, inputs=[source]) as part:
        report = run_quantizer(order._replace(target=part), progress)
        write_entries(part, entries | {_HASH_KEY: _data_sha256(part)}, drop=_PREFIX, pad=_RECIPE_KEY)
        made = _check_result(part, types, most_bytes)
    return _result(made, report, read_layout(target).tensors, tensors, matrix)


def plan_mix(
    source: Path, mix: Mix, *, importance: Importance | None = None, pure: bool = False
) -> dict[str, tuple[str, int]]:
    """What llama.cpp would make of a file: each tensor's type and bytes, by name. Nothing is written.

    Raises:
        ModelFileError, QuantizeError: as `quantize`.
    """
    read_header(source)
    tensors = {tensor.name: tensor for tensor in read_layout(source).tensors}
    matrix = _check_importance(importance, tensors.values())
    nowhere = source.parent / "none"  # in a dry run no file is made
    types = run_quantizer(Order(source, nowhere, mix.file_type, {}, matrix, pure=pure, dry_run=True)).types
    if types.keys() != tensors.keys():
        raise QuantizeError("llama.cpp's dry run did not name every tensor", "is its version one that we know?")
    return {name: (type_, type_bytes(type_, tensors[name].elements)) for name, type_ in types.items()}


def check_input(header: GGUFHeader, source: Path, *, requantize: bool) -> None:
    """Check that a file is one that can be quantized.

    Args:
        header: the file's.
        source: its path, for the message.
        requantize: accept one that is quantized already.

    Raises:
        QuantizeError: it is a part of a model, or quantized.
    """
    if header.split_count > 1:
        raise QuantizeError(
            f"{source.name} is one of {header.split_count} files", "merge them first, with llama.cpp's gguf-split"
        )
    if not header.parameters:
        raise QuantizeError(f"{source.name} has no tensors", "give the model's own file: this one is of a tokenizer")
    quantized = [share.type for share in header.tensor_types if share.type not in _FULL_PRECISION]
    if quantized and not requantize:
        raise QuantizeError(
            f"{source.name} is quantized already ({quantized[0]}, {header.bits_per_weight:.1f} bits per weight)",
            "start from an F16 file, or add --requantize to accept that both losses add up",
        )


def _check_importance(importance: Importance | None, tensors: Iterable[TensorPlace]) -> Importance:
    """The entries for tensors of this file, in float32.

    llama.cpp itself goes on without importance where a name is wrong.
    """
    if importance is None:
        return {}
    found = {}
    for tensor in tensors:
        if (values := importance.get(tensor.name)) is None:
            continue
        wanted = tensor.elements // tensor.shape[1] if len(tensor.shape) > 1 else tensor.elements
        if values.size != wanted or not np.isfinite(values).all():
            raise QuantizeError(
                f"the importance matrix has {values.size:,} values for {tensor.name}, not {wanted:,} finite ones",
                "is it of another model? gather it with this one",
            )
        found[tensor.name] = np.asarray(values, np.float32).reshape(-1)
    if not found:
        raise QuantizeError("the importance matrix names no tensor of this file", "gather it with this model")
    return found


def _check_mix(
    mix: Mix | Recipe, source: Path, tensors: Iterable[TensorPlace], importance: Importance
) -> dict[str, str]:
    """The types to insist on: all of a recipe, none of a mix."""
    if isinstance(mix, Mix):
        if mix.needs_importance and not importance:
            raise QuantizeError(
                f"{mix.name} needs an importance matrix",
                "make one with `leafwise quantize imatrix` and give it with --imatrix",
            )
        return {}
    check_recipe(mix, tensors)
    if model_sha256(source) != mix.source_sha256:
        raise QuantizeError(
            f"the recipe was made for another file than {source.name}", "make one for this file: see `costs`"
        )
    poor = [
        f"{name} ({type_})"
        for name, type_ in mix.types.items()
        if type_ in IMPORTANCE_TYPES and name not in importance and name not in EMBEDDINGS
    ]
    if poor:
        raise QuantizeError(
            f"the recipe's types need an importance matrix that covers {poor[0]}, and {len(poor) - 1} more",
            "make one with `leafwise quantize imatrix` and give it with --imatrix",
        )
    # what the recipe does not name stays as it is, and llama.cpp has to be told so
    return {tensor.name: mix.types.get(tensor.name, tensor.type) for tensor in tensors}


def _file_type(mix: Mix | Recipe, tensors: Iterable[TensorPlace]) -> int:
    if isinstance(mix, Mix):
        return mix.file_type
    totals: dict[str, int] = {}
    for tensor in tensors:
        if type_ := mix.types.get(tensor.name):
            totals[type_] = totals.get(type_, 0) + type_bytes(type_, tensor.elements)
    most = max(totals, key=lambda type_: totals[type_], default="q8_0")
    return _FILE_TYPES.get(most, _FILE_TYPES["q8_0"])  # overrides apply under quantized file types only


def _needed_bytes(
    mix: Mix | Recipe, header: GGUFHeader, tensors: Iterable[TensorPlace], types: Mapping[str, str]
) -> int:
    if isinstance(mix, Mix):
        return int(header.parameters * mix.bits_per_weight / 8 * _MARGIN)
    weights = sum(type_bytes(types[tensor.name], tensor.elements) for tensor in tensors)
    return weights + max(0, header.file_bytes - header.weight_bytes) + _HEADER_BYTES


def _entries(mix: Mix | Recipe, importance: Importance, metadata: Mapping[str, str]) -> dict[str, str]:
    """What goes into the metadata. The padding goes to the recipe: spaces after JSON mean nothing."""
    recipe = mix.model_dump_json() if isinstance(mix, Recipe) else json.dumps({"mix": mix.name})
    entries = {
        "version": _version("leafwise"),
        "llama_cpp_version": _version("llama-cpp-python"),
        "importance_tensors": str(len(importance)),
        **metadata,
    }
    named = {f"{_PREFIX}{key}": value for key, value in entries.items()}
    return {**named, _HASH_KEY: "0" * 64, _RECIPE_KEY: recipe}


def _data_sha256(part: Path) -> str:
    """Of the tensors' data, which the header's rewriting leaves where it is: `verify` compares it."""
    try:
        return data_sha256(read_contents(part))
    except ModelFileError as error:
        raise QuantizeError(f"the new file is not sound: {error.message}", "is the disk full?") from error


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _check_result(part: Path, types: Mapping[str, str], most_bytes: int | None) -> GGUFHeader:
    try:
        header = read_header(part)
        made = {tensor.name: tensor.type for tensor in read_layout(part).tensors}
    except ModelFileError as error:
        raise QuantizeError(f"the new file is not sound: {error.message}", "is the disk full?") from error
    wrong = [f"{name} is {made.get(name)}, not {type_}" for name, type_ in types.items() if made.get(name) != type_]
    if wrong:
        raise QuantizeError(
            f"llama.cpp did not follow the recipe: {wrong[0]} ({len(wrong):,} of {len(types):,} tensors)",
            "install the version that leafwise was tested with: pip install llama-cpp-python==0.3.36",
        )
    if most_bytes is not None and header.file_bytes > most_bytes:
        raise QuantizeError(f"the file has {header.file_bytes - most_bytes:,} bytes too many", "ask for so much less")
    return header


def _result(
    header: GGUFHeader, report: Report, made: Iterable[TensorPlace], before: Iterable[TensorPlace], matrix: Importance
) -> Quantized:
    old = {tensor.name: tensor.type for tensor in before}
    encoded = [
        tensor.name for tensor in made if quantizable(tensor.name, tensor.shape) and tensor.type != old[tensor.name]
    ]
    if report.fallbacks:
        log.warning(
            "%d of %d tensors did not fit the mix's types and got others (rows not divisible by 256)",
            len(report.fallbacks),
            len(old),
        )
    return Quantized(
        **header.model_dump(),
        fallbacks=report.fallbacks,
        unweighted=sum(name not in matrix for name in encoded),
        peak_bytes=report.peak_bytes,
    )
