"""Everything that a GGUF file says about itself, for those who check it: `gguf_header` gives less, and quicker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_entries import Array, TensorEntry
from leafwise.runtime.gguf_header import GGUFHeader, describe
from leafwise.runtime.gguf_walk import Walk, open_gguf

TOKENS, MERGES = "tokenizer.ggml.tokens", "tokenizer.ggml.merges"
SCORES, TOKEN_TYPES = "tokenizer.ggml.scores", "tokenizer.ggml.token_type"


class Contents(NamedTuple):
    """A file's header."""

    path: Path
    file_bytes: int
    header: GGUFHeader
    metadata: Mapping[str, Any]
    """Texts, numbers and `Array`s; of the long arrays, only the tokenizer's have items."""
    kinds: Mapping[str, int]
    """The type of every entry of the metadata, by its number in the file."""
    tensors: tuple[TensorEntry, ...]
    data_begin: int
    """Where the data of the tensors begins in the file."""
    data_end: int
    """Where the data of the last tensor ends."""

    @property
    def architecture(self) -> str:
        """For example `llama`."""
        return str(self.metadata.get("general.architecture", ""))

    def array(self, key: str) -> Array | None:
        """An entry that is an array; None where it is not there, or is something else."""
        found = self.metadata.get(key)
        return found if isinstance(found, Array) else None


def read_contents(path: Path) -> Contents:
    """Read a file's header, the tokenizer's arrays included; tensor data is not read.

    Raises:
        ModelFileError: as `read_header`, and for a vocabulary of more than 2 million tokens.
    """
    with open_gguf(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            walk = Walk(path, file, size, wanted=(TOKENS, MERGES, SCORES, TOKEN_TYPES))
            version, count = walk.opening()
            metadata = walk.metadata()
            shares = walk.tensors(count, metadata)
        except OSError as error:
            raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error
    header = describe(path, metadata, version, size, shares)
    tensors = tuple(walk.tensor_entries)
    return Contents(path, size, header, metadata, walk.kinds, tensors, walk.data_begin, walk.data_end)
