"""Writes small GGUF files of chosen tensors, and has llama.cpp's own quantizer, in another process, quantize them."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]


def write_gguf(path: Path, tensors: Arrays) -> Path:
    """A file that claims to be a Llama; the tensors are as numpy has them, rows first, in float16 or float32."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(256)
    writer.add_feed_forward_length(512)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights(rows: int, columns: int, seed: int = 0) -> NDArray[np.float16]:
    """About as large as a model's."""
    values = np.random.default_rng(seed).standard_normal((rows, columns)) / np.sqrt(columns)
    return np.asarray(values, np.float16)


def second_moments(columns: int, seed: int = 0) -> Floats:
    """As uneven as a model's: some inputs are hundreds of times larger than others."""
    return np.exp(2 * np.random.default_rng(seed).standard_normal(columns)).astype(np.float32)


def quantize_stock(
    source: Path, target: Path, types: Mapping[str, int], importance: Arrays | None = None
) -> dict[str, bytes]:
    """Each tensor's bytes as `llama_model_quantize` writes them, with a type (ggml's number) for each name."""
    matrix = target.with_suffix(".npz")
    np.savez(matrix, allow_pickle=False, **dict(importance or {}))
    command = [sys.executable, __file__, str(source), str(target), json.dumps(types), str(matrix)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(target).tensors}


def _stock(source: str, target: str, types: dict[str, int], importance: Arrays) -> int:
    import llama_cpp

    overrides = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
    for place, (name, number) in zip(overrides, types.items(), strict=False):
        place.pattern, place.type = f"^{name}$".replace(".", r"\.").encode(), number
    entries = (llama_cpp.llama_model_imatrix_data * (len(importance) + 1))()
    arrays = {name: np.ascontiguousarray(values, np.float32) for name, values in importance.items()}
    for entry, (name, values) in zip(entries, arrays.items(), strict=False):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0  # overrides are heeded only where the default is quantized
    parameters.nthread = 2
    parameters.tt_overrides = overrides
    if arrays:
        parameters.imatrix = entries
    return int(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)))


if __name__ == "__main__":
    with np.load(sys.argv[4]) as stored:
        sys.exit(_stock(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), dict(stored)))
