"""The tensors of a Hugging Face checkpoint in safetensors files, read a few rows at a time.

A safetensors file is a u64 length, that many bytes of JSON (for each tensor its type, shape and place), and the data.
The `safetensors` package checks all of it; it cannot give BF16 to numpy, so the bytes are read here.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leafwise.quant.checkpoint_json import read_object
from leafwise.quant.errors import QuantizeError
from leafwise.quant.float_formats import STORED, FloatType
from leafwise.runtime.contracts import Contract

_TYPES: dict[str, FloatType] = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
_AGAIN = "download the model again"


class StoredTensor(Contract):
    """Where a tensor is."""

    name: str
    """As in the checkpoint, for example `model.norm.weight`."""
    file: Path
    """The safetensors file."""
    dtype: str
    """As the file names it, for example `BF16`."""
    shape: tuple[int, ...]
    """Rows first."""
    offset: int
    """Of its first byte in the file."""

    @property
    def type(self) -> FloatType:
        """How its elements are stored.

        Raises:
            QuantizeError: they are no plain floating-point numbers.
        """
        if self.dtype not in _TYPES:
            raise QuantizeError(
                f"the tensor {self.name} is stored as {self.dtype}", "get the checkpoint in F32, F16 or BF16"
            )
        return _TYPES[self.dtype]

    def rows(self, first: int, count: int) -> npt.NDArray[np.generic]:
        """Some rows of a matrix, or elements of a vector, as bits of `STORED[type]`.

        Raises:
            QuantizeError: the file cannot be read, or ends before them.
        """
        kind, inner = STORED[self.type], self.shape[1:]
        width = int(np.prod(inner, dtype=np.int64))
        try:
            found = np.fromfile(
                self.file, kind, count=count * width, offset=self.offset + first * width * kind.itemsize
            )
        except OSError as error:
            raise QuantizeError(f"cannot read {self.file}: {error.strerror}", _AGAIN) from error
        if found.size != count * width:
            raise QuantizeError(f"{self.file} ends inside the tensor {self.name}", _AGAIN)
        return found.reshape(count, *inner)


def open_checkpoint(source: Path) -> dict[str, StoredTensor]:
    """Find every tensor of a checkpoint, in one file or in shards. Reads headers only.

    Raises:
        QuantizeError: there are no safetensors files, one is missing or damaged, or they contradict the index.
    """
    if not source.is_dir():
        raise QuantizeError(f"{source} is not a directory", "give the directory that holds config.json")
    if (source / _SINGLE).exists() and not (source / _INDEX).exists():
        return {tensor.name: tensor for tensor in _tensors(source / _SINGLE)}
    if not (source / _INDEX).exists():
        raise _no_weights(source)
    return _sharded(source)


def _sharded(source: Path) -> dict[str, StoredTensor]:
    where = _weight_map(source)
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(where.values())):
        for tensor in _tensors(source / name):
            if tensor.name in found:
                raise QuantizeError(f"the tensor {tensor.name} is in two shards", _AGAIN)
            found[tensor.name] = tensor
    for key, name in where.items():
        if key not in found or found[key].file.name != name:
            raise QuantizeError(f"the tensor {key} is not in {name}, where {_INDEX} says", _AGAIN)
    return found


def _weight_map(source: Path) -> dict[str, str]:
    """Which shard each tensor is in; every shard is there."""
    where = read_object(source / _INDEX).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(v, str) for v in where.values()):
        raise QuantizeError(f"{source / _INDEX} has no weight_map", _AGAIN)
    names = sorted(set(where.values()))
    if elsewhere := [name for name in names if Path(name).name != name]:
        raise QuantizeError(f"{_INDEX} names a file elsewhere: {elsewhere[0][:80]!r}", "get the model from its maker")
    if missing := [name for name in names if not (source / name).exists()]:
        raise QuantizeError(
            f"{len(missing)} of {len(names)} shards are missing: {', '.join(missing[:3])}", "download them too"
        )
    return where


def _no_weights(source: Path) -> QuantizeError:
    if any(source.glob("*.bin")) or any(source.glob("*.pth")):
        return QuantizeError(
            f"{source} holds PyTorch's pickled weights only, which can run code when they are read",
            "get the safetensors files of the model",
        )
    return QuantizeError(f"there is no {_SINGLE} and no {_INDEX} in {source}", "give a Hugging Face model's directory")


def _tensors(file: Path) -> Iterable[StoredTensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):  # checks the header, and that the data is all there
            pass
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
    except (SafetensorError, struct.error, ValueError) as error:
        raise QuantizeError(f"{file} is no sound safetensors file: {error}", _AGAIN) from error
    except OSError as error:
        raise QuantizeError(f"cannot read {file}: {error.strerror or error}", _AGAIN) from error
    return [
        StoredTensor(
            name=name,
            file=file,
            dtype=entry["dtype"],
            shape=tuple(entry["shape"]),
            offset=8 + length + entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    ]
