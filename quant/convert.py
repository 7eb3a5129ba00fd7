"""A Hugging Face Llama's directory to a GGUF file in F32, F16 or BF16; neither torch nor transformers is needed.

What llama.cpp and `transformers` would compute differently is refused, not approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leafwise.quant.checkpoint import open_checkpoint
from leafwise.quant.checkpoint_names import Mapped, map_tensors
from leafwise.quant.float_formats import FloatType
from leafwise.quant.float_formats import convert as convert_floats
from leafwise.quant.gguf_writing import Entry, Planned, planned_bytes, write_gguf
from leafwise.quant.llama_config import LlamaConfig, read_config
from leafwise.quant.safe_write import whole_file
from leafwise.quant.tokenizer_files import Tokenizer, read_tokenizer
from leafwise.runtime.gguf_header import GGUFHeader, read_header

PIECE = 2**22
"""About how many elements are converted at a time: 16 MiB in F32."""
_FILE_TYPES: dict[FloatType, int] = {"f32": 0, "f16": 1, "bf16": 32}


def convert(
    source: Path,
    target: Path,
    *,
    type_: FloatType,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
    pre: str | None = None,
) -> GGUFHeader:
    """Convert a checkpoint to one GGUF file, which is whole or not there.

    Args:
        source: the directory with config.json, safetensors files and the tokenizer's files; only read.
        target: the file to make.
        type_: how matrices are stored; vectors are always F32.
        replace: let the output replace a file.
        progress: told the bytes of tensor data written, and of all.
        pre: llama.cpp's name for how text is split before byte-pair encoding; None to recognise it.

    Returns:
        The header of the new file.

    Raises:
        QuantizeError: the checkpoint is damaged or not supported, or the output cannot be written.
    """
    stored = open_checkpoint(source)
    config = read_config(source)
    mapped = map_tensors(config, stored)
    tokenizer = read_tokenizer(source, config.vocabulary, pre)
    tensors = [_planned(tensor, type_) for tensor in mapped]
    factors = config.rope_factors()
    if factors is not None:
        tensors.append(Planned("rope_freqs.weight", factors.shape, "f32", lambda: [factors]))
    metadata = {**_model(source, config, type_), **_tokenizer(tokenizer)}
    needed = planned_bytes(tensors) + _text_bytes(metadata)
    inputs = [path for path in source.iterdir() if path.is_file()]
    with whole_file(target, replace=replace, needed_bytes=needed, inputs=inputs) as part:
        write_gguf(part, "llama", metadata, tensors, progress)
        return read_header(part)


def _planned(mapped: Mapped, type_: FloatType) -> Planned:
    shape = mapped.source.shape
    stored: FloatType = type_ if len(shape) > 1 else "f32"
    mapped.source.type  # noqa: B018 - refuses other types now, not after an hour
    return Planned(mapped.name, shape, stored, lambda: _pieces(mapped, stored))


def _pieces(mapped: Mapped, type_: FloatType) -> Iterator[npt.NDArray[np.generic]]:
    """A tensor's rows, in llama.cpp's order, stored as `type_`."""
    source = mapped.source
    width = int(np.prod(source.shape[1:], dtype=np.int64))
    unit = mapped.heads_of or 1
    step = max(1, PIECE // (width * unit)) * unit
    for first in range(0, source.shape[0], step):
        rows = source.rows(first, min(step, source.shape[0] - first))
        if mapped.heads_of:
            rows = pair_neighbours(rows, mapped.heads_of)
        yield convert_floats(rows, source.type, type_, source.name)


def pair_neighbours(rows: npt.NDArray[np.generic], head_length: int) -> npt.NDArray[np.generic]:
    """Reorder the rows of whole heads of Q or K for llama.cpp's rotation.

    `transformers` rotates row i of a head with row i + head_length / 2, llama.cpp row 2i with row 2i + 1.

    Args:
        rows: heads * head_length rows.
        head_length: rows of a head.

    Returns:
        The same rows in another order.
    """
    halves = rows.reshape(-1, 2, head_length // 2, rows.shape[-1])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _model(source: Path, config: LlamaConfig, type_: FloatType) -> dict[str, Entry]:
    u32 = {
        "general.file_type": _FILE_TYPES[type_],
        "general.quantization_version": 2,
        "llama.vocab_size": config.vocabulary,
        "llama.context_length": config.context,
        "llama.embedding_length": config.hidden,
        "llama.block_count": config.layers,
        "llama.feed_forward_length": config.feed_forward,
        "llama.attention.head_count": config.heads,
        "llama.attention.head_count_kv": config.kv_heads,
        "llama.attention.key_length": config.head_length,
        "llama.attention.value_length": config.head_length,
        "llama.rope.dimension_count": config.head_length,
    }
    entries = {
        "general.type": Entry("text", "model"),
        "general.name": Entry("text", source.resolve().name),
        "leafwise.version": Entry("text", version("leafwise")),
        "llama.attention.layer_norm_rms_epsilon": Entry("f32", config.epsilon),
        "llama.rope.freq_base": Entry("f32", config.rope_base),
    }
    entries |= {key: Entry("u32", value) for key, value in u32.items()}
    if config.scaling is not None and config.scaling.kind == "linear":
        entries["llama.rope.scaling.type"] = Entry("text", "linear")
        entries["llama.rope.scaling.factor"] = Entry("f32", config.scaling.factor)
    return entries


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Entry]:
    pieces = tokenizer.pieces
    entries = {
        "tokenizer.ggml.model": Entry("text", pieces.model),
        "tokenizer.ggml.pre": Entry("text", pieces.pre),
        "tokenizer.ggml.tokens": Entry("texts", pieces.tokens),
        "tokenizer.ggml.token_type": Entry("i32s", tuple(int(kind) for kind in pieces.types)),
        "tokenizer.ggml.scores": Entry("f32s", pieces.scores),
        "tokenizer.ggml.merges": Entry("texts", pieces.merges),
        "tokenizer.ggml.add_bos_token": Entry("bool", tokenizer.add_bos),
        "tokenizer.ggml.add_eos_token": Entry("bool", tokenizer.add_eos),
    }
    names = {"unk": "unknown", "sep": "seperator", "pad": "padding"}  # "seperator" is how GGUF spells it
    for role, place in tokenizer.special.items():
        entries[f"tokenizer.ggml.{names.get(role, role)}_token_id"] = Entry("u32", place)
    if pieces.space_prefix is not None:
        entries["tokenizer.ggml.add_space_prefix"] = Entry("bool", pieces.space_prefix)
    for name, template in tokenizer.templates.items():
        key = "tokenizer.chat_template" + ("" if name == "default" else f".{name}")
        entries[key] = Entry("text", template)
    return entries


def _text_bytes(metadata: dict[str, Entry]) -> int:
    """About what the header takes."""
    total = 2**16
    for kind, value in metadata.values():
        if isinstance(value, str):
            total += len(value.encode())
        elif isinstance(value, tuple):
            total += sum(8 + len(text.encode()) for text in value) if kind == "texts" else 4 * len(value)
    return total
