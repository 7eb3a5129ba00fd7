"""A small Llama in F16 for the quantizer's tests, and what is needed to look into files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from leafwise.benchmarks.synthetic_gguf import Shape, write_synthetic
from leafwise.quant.contracts import Recipe
from leafwise.quant.gguf_layout import read_layout
from leafwise.quant.quantize import MIXES, quantize
from leafwise.quant.tensor_names import quantizable

_SHAPE = Shape(blocks=3, embedding=256, feed_forward=512, heads=4, kv_heads=1, vocabulary=512, context=8192)


def write_tiny(folder: Path) -> Path:
    """Three blocks of width 256, random weights, F16."""
    write_synthetic(_SHAPE, folder / "tiny-q4.gguf")
    quantize(folder / "tiny-q4.gguf", folder / "tiny.gguf", MIXES["f16"], requantize=True)
    (folder / "tiny-q4.gguf").unlink()
    return folder / "tiny.gguf"


def write_narrow(path: Path) -> None:
    """One block whose rows are 64 long but for `ffn_down`'s: no K-quant fits the others."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(256)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(32)
    shapes = {"attn_q": (64, 64), "attn_k": (64, 64), "attn_v": (64, 64), "attn_output": (64, 64)}
    shapes |= {"ffn_gate": (256, 64), "ffn_up": (256, 64), "ffn_down": (64, 256)}
    writer.add_tensor("token_embd.weight", random.standard_normal((32, 64)).astype(np.float16))
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", random.standard_normal(shape).astype(np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(64, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def matrices(path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of all that can be quantized."""
    return {tensor.name: tensor.shape for tensor in read_layout(path).tensors if quantizable(tensor.name, tensor.shape)}


def types(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.type for tensor in read_layout(path).tensors}


def recipe_of(path: Path, *pattern: str) -> Recipe:
    """The types one after the other, again and again."""
    names = list(matrices(path))
    return Recipe(source_sha256=sha256(path), types={n: pattern[i % len(pattern)] for i, n in enumerate(names)})


def importance_of(path: Path, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A few columns matter much more than the others."""
    random = np.random.default_rng(seed)
    return {name: random.lognormal(0, 2, shape[0]).astype(np.float32) for name, shape in matrices(path).items()}


def text(path: Path, key: str) -> str:
    """A text of the metadata, through the `gguf` package."""
    value = gguf.GGUFReader(path).get_field(key)
    assert value is not None, key
    return str(value.contents())


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every tensor, decoded."""
    tensors = gguf.GGUFReader(path).tensors
    return {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in tensors}


def encoded(path: Path) -> dict[str, bytes]:
    """The bytes of every tensor."""
    return {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(path).tensors}
