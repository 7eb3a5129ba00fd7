"""Checks a header against what llama.cpp will build from it: hyperparameters, and the tensors a Llama consists of.

llama.cpp answers some contradictions with an assertion, which ends the process: these are errors here, as is all that
it refuses. Of other architectures only what concerns every model is checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from leafwise.runtime.gguf_contents import TOKENS, Contents
from leafwise.runtime.gguf_entries import BOOL, F32, I32, STRING, U32, Array, TensorEntry
from leafwise.runtime.verify_report import Findings

_MOST_BLOCKS, _MOST_EXPERTS, _LONGEST_NAME = 512, 512, 63  # LLAMA_MAX_LAYERS, LLAMA_MAX_EXPERTS, GGML_MAX_NAME - 1
_MOST_WIDTH = 1 << 20
_ROPE_SCALING = {"none", "linear", "yarn", "longrope"}
_NO_WEIGHTS = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}  # what llama.cpp multiplies with no weights of
_KNOWN = re.compile(
    r"(token_embd|output|output_norm|rope_freqs|rope_factors_(long|short))\.(weight|bias)"
    r"|blk\.\d+\.(attn_(norm|q|k|v|qkv|output|rot_embd|q_norm|k_norm)|ffn_(norm|gate|up|down)"
    r"|ffn_(gate_inp|(gate|up|down|gate_up)(_exps|_shexp)|exp_probs_b))\.(weight|bias|scale|input_scale)",
    re.ASCII,
)
# The metadata that llama.cpp reads by type: another type is an exception there.
_TYPES = {
    U32: (
        "context_length",
        "block_count",
        "embedding_length",
        "attention.key_length",
        "attention.value_length",
        "rope.dimension_count",
        "rope.scaling.original_context_length",
        "expert_count",
        "expert_used_count",
        "vocab_size",
    ),
    F32: (
        "attention.layer_norm_rms_epsilon",
        "rope.freq_base",
        "rope.scaling.factor",
        "rope.scaling.attn_factor",
        "rope.scaling.yarn_log_multiplier",
        "attention.scale",
        "attention.clamp_kqv",
        "logit_scale",
        "residual_scale",
        "embedding_scale",
        "expert_weights_scale",
    ),
    STRING: ("rope.scaling.type",),
    BOOL: ("attention.causal", "use_parallel_residual", "rope.scaling.finetuned"),
}
_TYPE_NAMES = {U32: "an unsigned 32-bit number", F32: "a 32-bit float", STRING: "a text", BOOL: "a truth value"}
_REQUIRED = (
    "context_length",
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
)


def check_model(contents: Contents, findings: Findings) -> None:
    """Check hyperparameters and tensors; of an architecture other than `llama`, what can be said of any."""
    _check_types(contents, findings)
    _check_any(contents, findings)
    if contents.architecture != "llama":
        what = f"leafwise does not know what {contents.architecture} consists of: its tensors' shapes are unchecked"
        findings.warning("metadata general.architecture", what)
        return
    if contents.header.split_count > 1:
        what = f"is one of {contents.header.split_count:,} files: what the others hold is unchecked"
        findings.warning("file", what)
        return
    for key in _REQUIRED:
        findings.require(f"llama.{key}" in contents.metadata, f"metadata llama.{key}", "is missing")
    if not findings.errors:
        _Llama(contents, findings).check()


def _check_types(contents: Contents, findings: Findings) -> None:
    for kind, keys in _TYPES.items():
        for key in (f"{contents.architecture}.{short}" for short in keys):
            if contents.kinds.get(key, kind) != kind:
                findings.error(f"metadata {key}", f"is not {_TYPE_NAMES[kind]}, so llama.cpp refuses it")
            value = contents.metadata.get(key)
            if kind == F32 and isinstance(value, float) and not math.isfinite(value):
                findings.error(f"metadata {key}", f"is {value}")


def _check_any(contents: Contents, findings: Findings) -> None:
    """What holds for every architecture."""
    arch = contents.architecture

    def count(key: str) -> int:
        value = contents.metadata.get(f"{arch}.{key}", 0)
        return value if type(value) is int else 0

    findings.require("" not in contents.metadata, "metadata", "has an entry without a name")
    blocks, experts, used = count("block_count"), count("expert_count"), count("expert_used_count")
    findings.require(
        blocks <= _MOST_BLOCKS, f"metadata {arch}.block_count", f"is {blocks:,}: llama.cpp has room for {_MOST_BLOCKS}"
    )
    experts_fit = experts <= _MOST_EXPERTS and used <= experts and (used > 0) == (experts > 0)
    findings.require(experts_fit, f"metadata {arch}.expert_used_count", f"is {used:,} of {experts:,} experts")
    scaling = contents.metadata.get(f"{arch}.rope.scaling.type", "none")
    findings.require(
        scaling in _ROPE_SCALING, f"metadata {arch}.rope.scaling.type", f"is the unknown {str(scaling)[:40]!r}"
    )
    width = count("embedding_length")
    findings.require(width <= _MOST_WIDTH, f"metadata {arch}.embedding_length", f"is {width:,}")
    for tensor in contents.tensors:
        findings.require(
            len(tensor.name.encode()) <= _LONGEST_NAME and "\0" not in tensor.name,
            f"tensor {tensor.name}",
            f"has a name that is longer than {_LONGEST_NAME} bytes or holds a null character",
        )
        if len(tensor.shape) > 1 and tensor.type in _NO_WEIGHTS:
            findings.error(f"tensor {tensor.name}", f"has the type {tensor.type}, in which llama.cpp has no weights")


class _Numbers(NamedTuple):
    """The hyperparameters of one block."""

    heads: int
    kv_heads: int
    inner: int


class _Llama:
    """Checks a file of the architecture `llama`."""

    def __init__(self, contents: Contents, findings: Findings) -> None:
        self._contents, self._findings = contents, findings
        self._tensors: Mapping[str, TensorEntry] = {tensor.name: tensor for tensor in contents.tensors}
        self._width, self._count = self._number("embedding_length"), self._number("block_count")

    def check(self) -> None:
        """All of it; stops where what follows could not be said any more."""
        positive = self._positive("embedding_length") & self._positive("block_count") & self._positive("context_length")
        epsilon = self._contents.metadata["llama.attention.layer_norm_rms_epsilon"]
        self._require(0 < epsilon < 1, "attention.layer_norm_rms_epsilon", f"is {epsilon}, not a small positive number")
        base = self._contents.metadata.get("llama.rope.freq_base", 1e4)
        self._require(base > 0, "rope.freq_base", f"is {base}, not positive")
        if not positive:
            return
        blocks = list(self._blocks())
        if len(blocks) < self._count:
            return
        self._check_tensors(blocks)

    def _blocks(self) -> Iterator[_Numbers]:
        """The numbers of every block, as long as they make sense."""
        heads, inner = self._per_block("attention.head_count"), self._per_block("feed_forward_length")
        kv_heads = self._per_block("attention.head_count_kv", heads)
        for i in range(self._count):
            numbers = _Numbers(heads[i], kv_heads[i], inner[i])
            attends = 0 < numbers.kv_heads <= numbers.heads and numbers.heads % numbers.kv_heads == 0
            what = f"is {numbers.kv_heads:,} in block {i}, which has {numbers.heads:,} heads"
            sound = self._require(attends, "attention.head_count_kv", what)
            sound &= self._require(
                0 < numbers.inner <= _MOST_WIDTH, "feed_forward_length", f"is {numbers.inner:,} in block {i}"
            )
            if not sound:
                return
            yield numbers

    def _check_tensors(self, blocks: list[_Numbers]) -> None:
        metadata, width = self._contents.metadata, self._width
        has_length = "llama.attention.key_length" in metadata
        if not self._require(
            has_length or width % blocks[0].heads == 0, "attention.head_count", f"does not divide {width:,}"
        ):
            return
        length = self._number("attention.key_length", width // blocks[0].heads)
        value_length = self._number("attention.value_length", width // blocks[0].heads)
        rotated = self._number("rope.dimension_count", length)
        fits = 0 < length <= _MOST_WIDTH and 0 < value_length <= _MOST_WIDTH and rotated == length and length % 2 == 0
        what = f"is {rotated:,} where the heads' keys have {length:,} elements and values {value_length:,}"
        if not self._require(fits, "rope.dimension_count", what):
            return
        self._check_outside(rotated)
        experts = self._number("expert_count") > 0
        for i, numbers in enumerate(blocks):
            self._check_attention(i, numbers, length, value_length)
            if not experts:
                self._check_feed_forward(i, numbers)
        self._check_others()

    def _check_outside(self, rotated: int) -> None:
        tokens = self._contents.array(TOKENS)
        rows = tokens.length if tokens else self._number("vocab_size")
        self._matrix("token_embd.weight", (self._width, rows))
        self._vector("output_norm.weight", self._width)
        if "output.weight" in self._tensors:  # without it, the embeddings are used
            self._matrix("output.weight", (self._width, rows))
        for name in ("rope_freqs", "rope_factors_long", "rope_factors_short"):
            if f"{name}.weight" in self._tensors:
                self._vector(f"{name}.weight", rotated // 2)

    def _check_attention(self, i: int, numbers: _Numbers, length: int, value_length: int) -> None:
        queries, keys = numbers.heads * length, numbers.kv_heads * length
        values, width = numbers.kv_heads * value_length, self._width
        self._vector(f"blk.{i}.attn_norm.weight", width)
        if f"blk.{i}.attn_qkv.weight" in self._tensors:
            self._linear(f"blk.{i}.attn_qkv", width, queries + keys + values)
        else:
            for kind, rows in (("q", queries), ("k", keys), ("v", values)):
                self._linear(f"blk.{i}.attn_{kind}", width, rows)
        self._linear(f"blk.{i}.attn_output", numbers.heads * value_length, width)

    def _check_feed_forward(self, i: int, numbers: _Numbers) -> None:
        self._vector(f"blk.{i}.ffn_norm.weight", self._width)
        self._linear(f"blk.{i}.ffn_gate", self._width, numbers.inner)
        self._linear(f"blk.{i}.ffn_up", self._width, numbers.inner)
        self._linear(f"blk.{i}.ffn_down", numbers.inner, self._width)

    def _check_others(self) -> None:
        for name, tensor in self._tensors.items():
            if not _KNOWN.fullmatch(name):
                self._findings.warning(f"tensor {name}", "is no tensor of a Llama: llama.cpp may refuse the file")
            elif name.startswith("blk.") and int(name.split(".")[1]) >= self._count:
                self._findings.error(f"tensor {name}", f"lies outside of the {self._count:,} blocks")
            elif len(tensor.shape) == 1 and tensor.type != "F32":
                self._findings.error(f"tensor {name}", f"is in {tensor.type}: llama.cpp computes vectors in F32 only")

    def _linear(self, name: str, columns: int, rows: int) -> None:
        self._matrix(f"{name}.weight", (columns, rows))
        if f"{name}.bias" in self._tensors:
            self._vector(f"{name}.bias", rows)

    def _matrix(self, name: str, shape: tuple[int, ...]) -> None:
        tensor = self._tensors.get(name)
        if tensor is None:
            self._findings.error(f"tensor {name}", "is missing")
        elif _trimmed(tensor.shape) != _trimmed(shape):
            self._findings.error(f"tensor {name}", f"has the shape {tensor.shape}, not {shape}")

    def _vector(self, name: str, length: int) -> None:
        self._matrix(name, (length,))

    def _number(self, key: str, default: int = 0) -> int:
        value = self._contents.metadata.get(f"llama.{key}", default)
        return value if type(value) is int else default

    def _per_block(self, key: str, default: list[int] | None = None) -> list[int]:
        """One number for each block; zeros where the file says something else."""
        value = self._contents.metadata.get(f"llama.{key}")
        if value is None and default is not None:
            return default
        if isinstance(value, Array) and value.kind in (U32, I32) and len(value.items) >= self._count:
            return list(value.items)
        if self._contents.kinds.get(f"llama.{key}") == U32 and type(value) is int:
            return [value] * self._count
        self._require(False, key, "is neither a number nor one for each block")
        return [0] * self._count

    def _positive(self, key: str) -> bool:
        value = self._contents.metadata[f"llama.{key}"]
        return self._require(type(value) is int and value > 0, key, f"is {str(value)[:40]}, not a positive number")

    def _require(self, condition: bool, key: str, what: str) -> bool:
        return self._findings.require(condition, f"metadata llama.{key}", what)


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones at the end, which say nothing."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
