"""Tensor shapes from the header of a GGUF file that nobody vouches for."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_walk import Walk, open_gguf


class _ShapeWalk(Walk):
    """Remembers what it walks over."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        super().__init__(path, file, size)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def _tensor(self, name: str) -> tuple[str, int, int, int]:
        begin = self._at
        described = super()._tensor(name)  # has checked these bytes
        (dimensions,) = struct.unpack_from("<I", self._bytes, begin)
        self.shapes[name] = struct.unpack_from(f"<{dimensions}Q", self._bytes, begin + 4)
        return described


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """For each tensor its elements per dimension as GGUF has them: the row's length first.

    Raises:
        ModelFileError: the file cannot be read, is not a GGUF, is truncated or contradicts itself.
    """
    with open_gguf(path) as file:
        try:
            walk = _ShapeWalk(path, file, os.fstat(file.fileno()).st_size)
            _, count = walk.opening()
            walk.tensors(count, walk.metadata())
        except OSError as error:
            raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error
    return walk.shapes
