"""Reads the tensors of a GGUF file by rows, as float32: never more of the file in memory than was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np

from leafwise.quant.errors import QuantizeError
from leafwise.quant.native_ggml import Floats, decode
from leafwise.quant.tensor_types import TYPES, bytes_of
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_entries import TensorEntry
from leafwise.runtime.gguf_walk import INCOMPLETE, Walk, open_gguf
from leafwise.runtime.paths import file_sha256


def model_sha256(path: Path) -> str:
    """SHA-256 of a model's file: it identifies what was measured.

    Raises:
        ModelFileError: the file cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """For each tensor its elements per dimension as GGUF has them: the row's length first.

    Raises:
        ModelFileError: the file is not a usable GGUF.
    """
    with TensorFile(path) as file:
        return {entry.name: entry.shape for entry in file.entries}


class TensorFile:
    """An open GGUF file; a context manager that closes it.

    Reads by position rather than by a memory map: pages of a map count as this process's memory, and a model may be
    larger than that should be. Safe to read from many threads.

    Raises:
        ModelFileError: the file is not a usable GGUF.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_gguf(path)
        try:
            walk = Walk(path, self._file, os.fstat(self._file.fileno()).st_size)
            _, count = walk.opening()
            walk.tensors(count, walk.metadata())
        except OSError as error:
            self._file.close()
            raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error
        except BaseException:
            self._file.close()
            raise
        self.entries: tuple[TensorEntry, ...] = tuple(walk.tensor_entries)
        """The tensors, in the order of the file."""
        self._data_begin = walk.data_begin

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        self._file.close()

    def place(self, entry: TensorEntry) -> int:
        """Where in the file a tensor's data begins, in bytes."""
        return self._data_begin + entry.offset

    def rows(self, entry: TensorEntry, begin: int, count: int) -> Floats:
        """Some rows of a tensor, decoded.

        Args:
            entry: one of `entries`.
            begin: the first row; all dimensions but the first are taken for one.
            count: number of rows.

        Returns:
            Shape (count, row length).

        Raises:
            QuantizeError: the tensor has a type that is not for weights.
            ModelFileError: the file cannot be read or has become shorter.
        """
        type_ = TYPES.get(entry.type.lower())
        if type_ is None:
            raise QuantizeError(f"{entry.name} has the type {entry.type}, which cannot be read here", "start from F16")
        row_bytes = bytes_of(type_, (entry.shape[0], 1))
        try:
            data = _read(self._file.fileno(), self.place(entry) + begin * row_bytes, count * row_bytes)
        except OSError as error:
            raise ModelFileError(f"cannot read {self.path}: {error.strerror}", "check the disk") from error
        if len(data) != count * row_bytes:
            raise ModelFileError(f"{self.path} became shorter while it was read", INCOMPLETE)
        if type_.name == "f16":  # numpy's own conversion: no second copy through ctypes
            return np.frombuffer(data, np.float16).reshape(count, -1).astype(np.float32)
        return decode(data, type_, (entry.shape[0], count))


def _read(handle: int, offset: int, size: int) -> bytes:
    parts = []
    while size and (part := os.pread(handle, size, offset)):  # at most 2 GiB come at once
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
