"""Reads what a GGUF file says about its model: without loading the model, and without trusting the file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, NoReturn

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import ModelFileError, UsageError
from leafwise.runtime.gguf_entries import Array, TensorTypeShare
from leafwise.runtime.gguf_walk import BROKEN, MAX_KEPT_ITEMS, Walk, open_gguf

KVType = Literal["f16", "q8_0", "q4_0"]
"""How the KV cache is stored."""
_KV_BLOCK = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}  # elements, bytes


class GGUFHeader(Contract):
    """What a GGUF file says about the model in it. A count of 0 means that the file does not say."""

    version: int
    """GGUF version: 2 or 3."""
    file_bytes: int
    """Size of the file."""
    architecture: str
    """For example `llama`."""
    name: str
    """The model's name as its maker wrote it; may be empty. Untrusted text: escape it before it goes to a terminal."""
    parameters: int
    """Elements of all tensors."""
    weight_bytes: int
    """Bytes of all tensors."""
    tensor_types: tuple[TensorTypeShare, ...]
    """The quantization mix, most bytes first."""
    context_length: int
    """Tokens of context the model was trained for."""
    block_count: int
    """Transformer blocks."""
    embedding_length: int
    """Width of the residual stream."""
    n_head: int
    """Attention heads of a block; the most of any block where blocks differ."""
    n_head_kv: int
    """Key and value heads of a block; the most of any block where blocks differ."""
    n_head_kv_total: int
    """Key and value heads of all blocks."""
    key_length: int
    """Elements of a head's key."""
    value_length: int
    """Elements of a head's value."""
    vocab_size: int
    """Tokens of the vocabulary."""
    tokenizer_model: str
    """`gpt2` is byte-pair encoding, `llama` is SentencePiece; empty when the file has no tokenizer."""
    tokenizer_pre: str
    """How text is split before byte-pair encoding, for example `llama-bpe`."""
    chat_template: str | None
    """The Jinja template of a chat; None where the file has none (a base model)."""
    split_count: int
    """Files the model is split into; the counts here are of this file only."""

    @property
    def bits_per_weight(self) -> float:
        """Bits per element over all tensors; 0 where there are none."""
        return 8 * self.weight_bytes / self.parameters if self.parameters else 0.0

    @property
    def quantization(self) -> str:
        """The type that holds the most bytes, for example `Q4_K`; empty where there are no tensors."""
        return self.tensor_types[0].type if self.tensor_types else ""

    def kv_cache_bytes(self, context: int, kv_type: KVType = "f16") -> int:
        """Bytes of the KV cache for `context` tokens over all sequences.

        context (rounded up to 256, as llama.cpp does) x KV heads of all blocks x (key + value length) x bytes per
        element; an element takes 2 bytes in f16, 34/32 in q8_0 and 18/32 in q4_0. Exact for plain attention; an upper
        bound for models with sliding windows or a compressed cache.

        Raises:
            UsageError: `context` is not positive, or `kv_type` is unknown.
        """
        if context < 1 or kv_type not in _KV_BLOCK:
            raise UsageError(
                f"no KV cache of {context} tokens in {kv_type}",
                f"give a positive context and one of {', '.join(_KV_BLOCK)}",
            )
        tokens = -(-context // 256) * 256
        elements, size = _KV_BLOCK[kv_type]
        return tokens * self.n_head_kv_total * (self.key_length + self.value_length) * size // elements

    def memory_bytes(self, context: int, kv_type: KVType = "f16") -> int:
        """Bytes needed to run the model: weights plus KV cache.

        llama.cpp's compute buffers come on top and are not in here: they depend on the batch and the vocabulary (98 MiB
        for the embedded model with batches of 512 tokens).

        Args:
            context: tokens of context, over all sequences.
            kv_type: how the KV cache is stored.

        Raises:
            UsageError: `context` is not positive, or `kv_type` is unknown.
        """
        return self.weight_bytes + self.kv_cache_bytes(context, kv_type)


def read_header(path: Path | str) -> GGUFHeader:
    """Read and check the header of a GGUF file; the model is not loaded, and tensor data is not read.

    Raises:
        ModelFileError: the file cannot be read, is not a GGUF, is truncated, contradicts itself, or holds something
            unsupported.
    """
    path = Path(path)
    with open_gguf(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            walk = Walk(path, file, size)
            version, tensor_count = walk.opening()
            metadata = walk.metadata()
            shares = walk.tensors(tensor_count, metadata)
        except OSError as error:
            raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error
    return describe(path, metadata, version, size, shares)


class _Facts:
    """The metadata, with its types checked."""

    def __init__(self, path: Path, metadata: dict[str, Any]) -> None:
        self._path, self._metadata = path, metadata

    def fail(self, key: str, value: object, wanted: str) -> NoReturn:
        raise ModelFileError(f"{self._path}: {key[:60]} is {str(value)[:40]!r}, not {wanted}", BROKEN)

    def text(self, key: str) -> str:
        value = self._metadata.get(key, "")
        return value if isinstance(value, str) else self.fail(key, value, "a text")

    def count(self, key: str, default: int = 0) -> int:
        value = self._metadata.get(key, default)
        return value if type(value) is int and 0 <= value < 2**32 else self.fail(key, value, "a count")

    def per_block(self, key: str, blocks: int, default: int = 0) -> tuple[int, ...]:
        """A count for all blocks, or one for each of them."""
        value = self._metadata.get(key)
        if not isinstance(value, Array):
            return (self.count(key, default),) * blocks
        if value.length != blocks or any(type(v) is not int or v < 0 for v in value.items):
            self.fail(key, value.items, f"one count for each of {blocks} blocks")
        return value.items

    def length(self, key: str) -> int:
        value = self._metadata.get(key)
        return value.length if isinstance(value, Array) else 0


def describe(
    path: Path, metadata: dict[str, Any], version: int, size: int, shares: tuple[TensorTypeShare, ...]
) -> GGUFHeader:
    """What a walk through the header has found, checked.

    Raises:
        ModelFileError: it makes no sense.
    """
    facts = _Facts(path, metadata)
    arch = facts.text("general.architecture")
    if not re.fullmatch(r"[\w.-]{1,64}", arch, re.ASCII):
        facts.fail("general.architecture", arch, "the name of an architecture")
    blocks = facts.count(f"{arch}.block_count")
    if blocks > MAX_KEPT_ITEMS:
        facts.fail(f"{arch}.block_count", blocks, "a number of blocks")
    width = facts.count(f"{arch}.embedding_length")
    heads = facts.per_block(f"{arch}.attention.head_count", blocks)
    most = max(heads, default=0)
    kv_heads = facts.per_block(f"{arch}.attention.head_count_kv", blocks, most)
    head_length = width // most if most else 0
    return GGUFHeader(
        version=version,
        file_bytes=size,
        architecture=arch,
        name=facts.text("general.name"),
        parameters=sum(share.parameters for share in shares),
        weight_bytes=sum(share.bytes for share in shares),
        tensor_types=shares,
        context_length=facts.count(f"{arch}.context_length"),
        block_count=blocks,
        embedding_length=width,
        n_head=most,
        n_head_kv=max(kv_heads, default=0),
        n_head_kv_total=sum(kv_heads),
        key_length=facts.count(f"{arch}.attention.key_length", head_length),
        value_length=facts.count(f"{arch}.attention.value_length", head_length),
        vocab_size=facts.count(f"{arch}.vocab_size", facts.length("tokenizer.ggml.tokens")),
        tokenizer_model=facts.text("tokenizer.ggml.model"),
        tokenizer_pre=facts.text("tokenizer.ggml.pre"),
        chat_template=facts.text("tokenizer.chat_template") or None,
        split_count=facts.count("split.count", 1),
    )
