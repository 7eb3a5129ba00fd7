"""Writes GGUF files of a real model's shape with random weights.

What a machine makes of that size can be measured without the model. The tensor types are those that llama.cpp's
quantizer chooses for Q4_K_M. Blocks are random bytes with sound scales, drawn from a small pool and streamed: the file
may be larger than memory. The text that comes out means nothing.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from io import BufferedWriter
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
from numpy.typing import NDArray

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract

_F32, _Q4_K, _Q6_K = (gguf.GGMLQuantizationType[name] for name in ("F32", "Q4_K", "Q6_K"))
_BLOCK = 256  # weights of a block
_BLOCK_BYTES = {_Q4_K: 144, _Q6_K: 210}
_POOL_BLOCKS = 32_768
_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_CONTROL = ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>")
_BEGIN, _, _, _END = range(-4, 0)


class Shape(Contract):
    """The numbers that make a Llama: all that decides speed and memory. Lengths are multiples of 256."""

    blocks: int
    """Transformer blocks."""
    embedding: int
    """Width of the residual stream."""
    feed_forward: int
    """Width inside the feed-forward part."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key and value heads."""
    vocabulary: int
    """Tokens."""
    context: int
    """Tokens of context that the file claims."""


SHAPES = {
    "llama3.1-8b": Shape(
        blocks=32, embedding=4096, feed_forward=14336, heads=32, kv_heads=8, vocabulary=128_256, context=131_072
    ),
    "tiny": Shape(blocks=8, embedding=256, feed_forward=512, heads=4, kv_heads=1, vocabulary=1024, context=8192),
}
"""The shapes by name; `tiny` is for tests."""


class TensorPlan(NamedTuple):
    """One tensor of the file."""

    name: str
    """llama.cpp's name."""
    shape: tuple[int, ...]
    """Rows first, as numpy has it."""
    type: gguf.GGMLQuantizationType
    """F32, Q4_K or Q6_K."""

    @property
    def bytes(self) -> int:
        """Bytes of its data."""
        count = math.prod(self.shape)
        return 4 * count if self.type == _F32 else count // _BLOCK * _BLOCK_BYTES[self.type]


def write_synthetic(
    shape: Shape, target: Path, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write a file of this shape; it is whole or not there.

    Args:
        shape: one of `SHAPES`, or another.
        target: the file; it must not exist.
        seed: of the weights.
        progress: told the bytes written, and of all.

    Returns:
        Bytes of the file.

    Raises:
        BenchmarkError: the file exists, or there is no room for it.
    """
    tensors = list(plan_tensors(shape))
    _check_room(target, sum(tensor.bytes for tensor in tensors))
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        _write(shape, tensors, part, seed, progress)
        part.chmod(0o644)
        part.rename(target)
    except OSError as error:
        raise BenchmarkError(f"cannot write {target}: {error.strerror}", "free some disk space") from error
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def plan_tensors(shape: Shape) -> Iterator[TensorPlan]:
    """The tensors of a Llama of this shape, with the types of Q4_K_M.

    As in llama.cpp's `llama_tensor_get_type`: the output and half of the layers' `attn_v` and `ffn_down` take six bits.
    """
    width, inner = shape.embedding, shape.feed_forward
    kv_width = width // shape.heads * shape.kv_heads
    yield TensorPlan("token_embd.weight", (shape.vocabulary, width), _Q4_K)
    yield TensorPlan("rope_freqs.weight", (width // shape.heads // 2,), _F32)
    for i in range(shape.blocks):
        good = _Q6_K if _takes_more_bits(i, shape.blocks) else _Q4_K
        yield TensorPlan(f"blk.{i}.attn_norm.weight", (width,), _F32)
        yield TensorPlan(f"blk.{i}.attn_q.weight", (width, width), _Q4_K)
        yield TensorPlan(f"blk.{i}.attn_k.weight", (kv_width, width), _Q4_K)
        yield TensorPlan(f"blk.{i}.attn_v.weight", (kv_width, width), good)
        yield TensorPlan(f"blk.{i}.attn_output.weight", (width, width), _Q4_K)
        yield TensorPlan(f"blk.{i}.ffn_norm.weight", (width,), _F32)
        yield TensorPlan(f"blk.{i}.ffn_gate.weight", (inner, width), _Q4_K)
        yield TensorPlan(f"blk.{i}.ffn_up.weight", (inner, width), _Q4_K)
        yield TensorPlan(f"blk.{i}.ffn_down.weight", (width, inner), good)
    yield TensorPlan("output_norm.weight", (width,), _F32)
    yield TensorPlan("output.weight", (shape.vocabulary, width), _Q6_K)


def _takes_more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _check_room(target: Path, needed: int) -> None:
    if target.exists():
        raise BenchmarkError(f"{target} exists already", "remove it, or choose another folder")
    if not target.parent.is_dir():
        raise BenchmarkError(f"there is no directory {target.parent}", "make it first")
    free = shutil.disk_usage(target.parent).free
    if 1.02 * needed > free:
        raise BenchmarkError(
            f"the file takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free at {target.parent}",
            "free some disk space, or choose another folder with --keep",
        )


def _write(
    shape: Shape, tensors: list[TensorPlan], part: Path, seed: int, progress: Callable[[int, int], None] | None
) -> None:
    writer = gguf.GGUFWriter(part, "llama")
    _add_metadata(writer, shape)
    for tensor in tensors:
        # rows of bytes for quantized tensors: the writer works out the elements
        rows = tensor.shape if tensor.type == _F32 else (*tensor.shape[:-1], tensor.bytes // tensor.shape[0])
        dtype = np.dtype(np.float32 if tensor.type == _F32 else np.uint8)
        writer.add_tensor_info(tensor.name, rows, dtype, tensor.bytes, raw_dtype=tensor.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(seed)
    pools = {kind: _pool(kind, random) for kind in (_Q4_K, _Q6_K)}
    done, total = 0, sum(tensor.bytes for tensor in tensors)
    try:
        for tensor in tensors:
            writer.write_tensor_data(_Stream(tensor, pools, random))
            done += tensor.bytes
            if progress:
                progress(done, total)
        for file in writer.fout:
            file.flush()
            os.fsync(file.fileno())
    finally:
        writer.close()


class _Stream:
    """Looks like an array to the writer, and makes its data only while it is written."""

    def __init__(
        self,
        tensor: TensorPlan,
        pools: dict[gguf.GGMLQuantizationType, Callable[[int], NDArray[np.uint8]]],
        random: np.random.Generator,
    ) -> None:
        self._tensor, self._pools, self._random = tensor, pools, random
        self.nbytes = tensor.bytes

    def tofile(self, file: BufferedWriter) -> None:
        """Write the data."""
        if self._tensor.type == _F32:
            ones = np.ones(self._tensor.shape, np.float32)
            file.write((_rope_factors(len(ones)) if self._tensor.name.startswith("rope") else ones).tobytes())
            return
        pool = self._pools[self._tensor.type](self._tensor.shape[-1])
        left = math.prod(self._tensor.shape) // _BLOCK
        while left:
            start = int(self._random.integers(len(pool) // 2))
            piece = pool[start : start + left]
            file.write(piece.data)
            left -= len(piece)


def _pool(kind: gguf.GGMLQuantizationType, random: np.random.Generator) -> Callable[[int], NDArray[np.uint8]]:
    """Random blocks of a type, as a function of the row's length: weights are about 1 / sqrt(length) large."""
    raw = random.integers(0, 256, (_POOL_BLOCKS, _BLOCK_BYTES[kind]), dtype=np.uint8)
    if kind == _Q6_K:
        raw[:, 192:208] = random.integers(-16, 17, (_POOL_BLOCKS, 16)).astype(np.int8).view(np.uint8)

    def scaled(length: int) -> NDArray[np.uint8]:
        blocks = raw.copy()
        # what multiplies the scale has a standard deviation of 255 (Q4_K) and 176 (Q6_K) over random bits
        scale = np.float16(1 / math.sqrt(length) / (255 if kind == _Q4_K else 176))
        if kind == _Q4_K:  # the minimum takes off the mean: 31.5 * 7.5 of the scale
            blocks[:, :4] = np.array([scale, np.float16(7.5) * scale], np.float16).view(np.uint8)
        else:
            blocks[:, 208:] = np.array([scale], np.float16).view(np.uint8)
        return blocks

    return scaled


def _rope_factors(count: int) -> NDArray[np.float32]:
    """Llama 3.1's stretching of long wavelengths: factor 8 beyond 8,192 tokens, a ramp from a quarter of that on."""
    wavelength = 2 * math.pi * 500_000 ** (np.arange(count) / count)
    smooth = np.clip((8192 / wavelength - 1) / (4 - 1), 0, 1)
    factors: NDArray[np.float32] = (1 / ((1 - smooth) / 8 + smooth)).astype(np.float32)
    return factors


def _add_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("Synthetic")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.embedding // shape.heads)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    tokens, normal = _vocabulary(shape.vocabulary), shape.vocabulary - len(_CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * normal + [gguf.TokenType.CONTROL] * len(_CONTROL))
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_bos_token_id(shape.vocabulary + _BEGIN)
    writer.add_eos_token_id(shape.vocabulary + _END)
    writer.add_add_bos_token(True)
    writer.add_chat_template(_CHAT)


def _vocabulary(size: int) -> list[str]:
    """The 256 bytes in GPT-2's spelling, two merged tokens, invented words, and the control tokens."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [256 + i for i in range(256 - len(plain))]
    begin = [*map(chr, plain + others), "Ġt", "he"]
    words = (f"Ġ{_letters(i)}" for i in range(size))
    return [*begin, *(next(words) for _ in range(size - len(begin) - len(_CONTROL))), *_CONTROL]


def _letters(number: int) -> str:
    """A word of four letters or more for every number."""
    word = ""
    while number or len(word) < 4:
        number, rest = divmod(number, 26)
        word += chr(ord("a") + rest)
    return word
