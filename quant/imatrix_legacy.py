"""The importance matrix files of llama.cpp before July 2025, which end in `.dat` and are still passed around.

Little-endian: i32 number of tensors; for each of them i32 length of its name, the name, i32 calls, i32 number of
values, and as F32 calls * E[x_j^2] of each input column; then, in later versions, i32 chunks, i32 length of the text's
file name, and that name. A call is a chunk of a size that the file does not say.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import NoReturn

import numpy as np

from leafwise.quant.importance import Floats, ImportanceMatrix
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_walk import BROKEN, MAGIC

_CHUNK_SIZE = 512  # what that tool used unless told otherwise
_MOST_BYTES = 2**30
_MOST_TENSORS = 65_536
_MOST_NAME = 4_096


def looks_legacy(path: Path) -> bool:
    """Whether a file could be of the former format: it is not a GGUF but begins with a plausible number of tensors."""
    try:
        with path.open("rb") as file:
            begin = file.read(4) if path.is_file() else b""
    except (OSError, ValueError):  # what is wrong with it is for the usual way to say
        return False
    return len(begin) == 4 and begin != MAGIC and 0 < int.from_bytes(begin, "little") <= _MOST_TENSORS


def read_legacy(path: Path) -> ImportanceMatrix:
    """Read such a file.

    Raises:
        ModelFileError: it cannot be read, ends early, or holds numbers that cannot be.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ModelFileError(f"{path} is too large for an importance matrix", "give an imatrix file")
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    bytes_ = _Bytes(path, data)
    sums: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    for _ in range(bytes_.number(_MOST_TENSORS, "tensors")):
        name = bytes_.text(_MOST_NAME)
        calls, length = bytes_.number(2**31 - 1, "calls"), bytes_.number(2**28, "values")
        if name in sums or not calls or not length:
            bytes_.fail(f"the entry {name[:60]!r} is empty or appears twice")
        values = np.frombuffer(bytes_.take(4 * length), "<f4").astype(np.float32)
        if not np.isfinite(values).all() or (values < 0).any():
            bytes_.fail(f"the numbers of {name[:60]!r} are negative or not finite")
        sums[name] = values * np.float32(_CHUNK_SIZE)
        counts[name] = np.array([calls * _CHUNK_SIZE], np.float32)
    chunks = max(int(count[0]) // _CHUNK_SIZE for count in counts.values())
    datasets: tuple[str, ...] = ()
    if bytes_.more:
        chunks, datasets = bytes_.number(2**31 - 1, "chunks"), (bytes_.text(2**20),)
    digest = hashlib.sha256(data).hexdigest()
    return ImportanceMatrix(sums, counts, chunks=chunks, chunk_size=_CHUNK_SIZE, datasets=datasets, sha256=digest)


class _Bytes:
    """A position in the file's bytes."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self._at = path, data, 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def fail(self, problem: str) -> NoReturn:
        raise ModelFileError(f"{self._path} is not an importance matrix that can be used: {problem}", BROKEN)

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            self.fail("it ends early")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, most: int, what: str) -> int:
        (value,) = struct.unpack("<i", self.take(4))
        if not 0 <= value <= most:
            self.fail(f"it claims {value:,} {what}")
        return int(value)

    def text(self, most: int) -> str:
        return self.take(self.number(most, "characters of a name")).decode("utf-8", "replace")
