"""Small GGUF files, well-formed and hostile, byte by byte: the `gguf` package writes no hostile ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

U32, STRING, ARRAY, U64 = 4, 8, 9, 10
SIZES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34)}  # type -> elements and bytes of a block


@dataclass(frozen=True)
class Raw:
    """A metadata value, type and bytes as they are."""

    kind: int
    data: bytes


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int = 0
    offset: int | None = None
    """None puts it right after the one before."""


LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.context_length": 512,
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "tokenizer.ggml.token_type": [3, 1, 1],
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS = (
    Tensor("token_embd.weight", (64, 3), 8),
    Tensor("blk.0.attn_q.weight", (64, 64), 3),
    Tensor("norm.weight", (64,)),
)


@dataclass(frozen=True)
class File:
    """A GGUF file to write; the defaults make a well-formed one."""

    metadata: Mapping[str, Any] = field(default_factory=lambda: LLAMA)
    tensors: Sequence[Tensor] = TENSORS
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    entry_count: int | None = None
    more_entries: bytes = b""
    """Entries written after `metadata`, to be counted in `entry_count`."""

    def encode(self) -> bytes:
        entries = b"".join(text(key) + value(v) for key, v in self.metadata.items()) + self.more_entries
        out = self.magic + struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.metadata) if self.entry_count is None else self.entry_count,
        )
        infos, end = b"", 0
        for tensor in self.tensors:
            offset = padded(end) if tensor.offset is None else tensor.offset
            infos += text(tensor.name) + struct.pack("<I", len(tensor.shape))
            infos += b"".join(struct.pack("<Q", n) for n in tensor.shape) + struct.pack("<IQ", tensor.kind, offset)
            end = padded(end) + data_bytes(tensor)
        out += entries + infos
        return out.ljust(padded(len(out)), b"\0") + b"\0" * end


def data_bytes(tensor: Tensor) -> int:
    block, size = SIZES.get(tensor.kind, (1, 0))
    elements = 1
    for extent in tensor.shape:
        elements *= extent
    return elements // block * size if elements < 2**20 else 0


def padded(count: int) -> int:
    return -(-count // 32) * 32


def text(string: str | bytes) -> bytes:
    data = string.encode() if isinstance(string, str) else string
    return struct.pack("<Q", len(data)) + data


def value(given: Any) -> bytes:
    """A metadata value with its type in front."""
    match given:
        case Raw(kind, data):
            return struct.pack("<I", kind) + data
        case int():
            return struct.pack("<II", U32, given)
        case str() | bytes():
            return struct.pack("<I", STRING) + text(given)
        case list() if isinstance(given[0], str):
            return struct.pack("<IIQ", ARRAY, STRING, len(given)) + b"".join(map(text, given))
        case list():
            return struct.pack("<IIQ", ARRAY, U32, len(given)) + struct.pack(f"<{len(given)}I", *given)
    raise TypeError(given)


def write_gguf_copy_without_template(source: Path, target: Path) -> Path:
    """Copy a GGUF file with its chat template's key renamed, byte for byte otherwise."""
    data = source.read_bytes()
    assert data.count(b"tokenizer.chat_template") == 1
    target.write_bytes(data.replace(b"tokenizer.chat_template", b"tokenizer.chat_nothing_"))
    return target
