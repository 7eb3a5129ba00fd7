"""Walks the bytes of a GGUF header, trusting none of them; `gguf_header` is the way in.

Layout of GGUF versions 2 and 3, little-endian (a string is a u64 length and its bytes)::

    magic "GGUF" | u32 version | u64 number of tensors | u64 number of metadata entries
    metadata     : string key, u32 value type, value
    tensors      : string name, u32 number of dimensions, u64 per dimension, u32 type, u64 offset of the data
    padding to `general.alignment`, then the tensors' data

The `gguf` package's own reader makes an array view per string (2.7 s for a vocabulary of 49,152 tokens, measured) and
believes every count. Here that header takes 0.02 s, at most `MAX_HEADER_BYTES` are held, and what llama.cpp would
refuse is refused.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_entries import ARRAY, STRING, Array, TensorEntry, TensorTypeShare, tensor_types

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 64 * 2**20
"""The largest header that is read; that of Llama 3 (128,256 tokens) takes 8 MiB."""
MAX_TEXT_BYTES = 16 * 2**20
"""The longest text value of the metadata."""
MAX_NAME_BYTES = 65_535
"""The longest key, and the longest tensor name."""
MAX_ENTRIES = 65_536
"""Most metadata entries, and most tensors."""
MAX_KEPT_ITEMS = 4_096
"""Arrays of numbers up to this length are kept (one value per block); of longer ones only the length."""
MAX_KEPT_SUM = 262_144
"""Most items of all these arrays together: one takes up to 40 bytes in memory and may take a single one in the file."""
MAX_WANTED_ITEMS = 2_097_152
"""Most items of an array that is kept because it was asked for; the largest vocabularies have 300,000 tokens."""

BROKEN = "the file is damaged or was made by a broken tool: get it again"
INCOMPLETE = "the file is incomplete: download or copy it again"


def open_gguf(path: Path) -> BinaryIO:
    """Open a file that begins like a GGUF; the caller closes it. Reads four bytes.

    Raises:
        ModelFileError: there is no such file, it is a directory or a device, it cannot be read, or it is not a GGUF.
    """
    try:
        # A named pipe would block at open and a device never ends, so look before opening.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ModelFileError(f"{path} is a directory", "give the path of the .gguf file in it")
        if not stat.S_ISREG(mode):
            raise ModelFileError(f"{path} is not a regular file", "give the path of a .gguf file")
        file = path.open("rb")
    except FileNotFoundError as error:
        raise ModelFileError(
            f"no file at {path}", "check the path; `leafwise models list` names known models"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"cannot read {str(path)!r}: {reason}", "check the path and its permissions") from error
    try:
        magic = file.read(4)
    except OSError as error:
        file.close()
        raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error
    if magic != MAGIC:
        file.close()
        what = "is empty" if not magic else "is not a GGUF file"
        raise ModelFileError(f"{path} {what}", "leafwise works with .gguf files: `leafwise models list` names some")
    file.seek(0)
    return file


_SCALARS = {
    number: struct.Struct("<" + code)
    for number, code in enumerate(["B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d"])
    if code
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class Walk:
    """A position in the header.

    Bytes are read as they are needed, so no count in the file decides what is allocated. Every method raises
    `ModelFileError` for bytes that make no sense.

    Args:
        path: for messages.
        file: open at its beginning.
        size: of the file.
        wanted: keys of arrays whose items are kept, however many there are.
    """

    def __init__(self, path: Path, file: BinaryIO, size: int, wanted: Collection[str] = ()) -> None:
        self._path, self._file, self._size, self._wanted = path, file, size, wanted
        self._bytes = bytearray()
        self._at = self._kept = 0
        self.kinds: dict[str, int] = {}
        """After `metadata`: the type of every entry, by its number in the file."""
        self.tensor_entries: list[TensorEntry] = []
        """After `tensors`: these."""
        self.data_begin = self.data_end = 0
        """After `tensors`: where their data lies in the file."""

    def _fail(self, problem: str, hint: str = BROKEN) -> NoReturn:
        raise ModelFileError(f"{self._path}: {problem}", hint)

    def opening(self) -> tuple[int, int]:
        """Magic, version and counts; gives version and number of tensors, and remembers the number of entries."""
        self._need(4)
        self._at = 4
        version = self._number(_U32)
        if version and version & 0xFFFF == 0:
            self._fail("a big-endian GGUF file", "leafwise reads little-endian files: convert the model again")
        if version not in (2, 3):
            self._fail(
                f"GGUF version {version} is not supported", "leafwise reads versions 2 and 3: convert the model again"
            )
        tensors, self._entries = self._number(_U64), self._number(_U64)
        if max(tensors, self._entries) > MAX_ENTRIES:
            self._fail(f"claims {tensors:,} tensors and {self._entries:,} metadata entries")
        return version, tensors

    def metadata(self) -> dict[str, Any]:
        """All entries; strings and numbers as they are, arrays as `Array`."""
        entries: dict[str, Any] = {}
        for _ in range(self._entries):
            key = self._name()
            if key in entries:
                self._fail(f"the metadata key {key[:60]!r} appears twice")
            self.kinds[key] = self._number(_U32)
            entries[key] = self._value(self.kinds[key], key in self._wanted)
        return entries

    def tensors(self, count: int, metadata: dict[str, Any]) -> tuple[TensorTypeShare, ...]:
        """Check every tensor and its place in the file; gives the sums by type."""
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20 or alignment & (alignment - 1):
            self._fail(f"general.alignment is {str(alignment)[:40]}, not a power of two")
        names: set[str] = set()
        sums: dict[str, list[int]] = {}
        end = 0  # tensors lie one after the other, each at the next multiple of the alignment: llama.cpp insists
        for _ in range(count):
            name = self._name()
            if name in names:
                self._fail(f"the tensor {name[:60]!r} appears twice")
            names.add(name)
            entry = self._tensor(name)
            expected = -(-end // alignment) * alignment
            if entry.offset != expected:
                self._fail(f"the data of tensor {name[:60]!r} is at {entry.offset:,}, expected at {expected:,}")
            end = entry.offset + entry.bytes
            self.tensor_entries.append(entry)
            before = sums.get(entry.type, [0, 0, 0])
            sums[entry.type] = [a + b for a, b in zip(before, [1, entry.bytes, entry.elements], strict=True)]
        self.data_begin = -(-self._at // alignment) * alignment
        self.data_end = self.data_begin + end
        if count and self.data_end > self._size:
            self._fail(f"truncated: {self._size:,} of {self.data_end:,} bytes are here", INCOMPLETE)
        shares = (TensorTypeShare(type=t, tensors=n, bytes=b, parameters=p) for t, (n, b, p) in sums.items())
        return tuple(sorted(shares, key=lambda share: -share.bytes))

    def _name(self) -> str:
        """A key or a tensor's name."""
        try:
            return self._string(MAX_NAME_BYTES).decode()
        except UnicodeDecodeError:
            self._fail("a name in the header is not text")

    def _number(self, layout: struct.Struct) -> Any:
        self._need(layout.size)
        (value,) = layout.unpack_from(self._bytes, self._at)
        self._at += layout.size
        return value

    def _tensor(self, name: str) -> TensorEntry:
        """What follows a tensor's name."""
        dimensions = self._number(_U32)
        if not 1 <= dimensions <= 4:
            self._fail(f"the tensor {name[:60]!r} has {dimensions:,} dimensions")
        shape = [self._number(_U64) for _ in range(dimensions)]
        number, offset = self._number(_U32), self._number(_U64)
        if number not in tensor_types():
            self._fail(
                f"the tensor {name[:60]!r} has the unknown type {number}",
                "get a newer version of leafwise, or of the file",
            )
        kind, block, block_bytes = tensor_types()[number]
        elements = 1
        for extent in shape:
            elements *= extent
        if not 0 < elements < 2**48 or shape[0] % block:
            self._fail(f"the tensor {name[:60]!r} cannot have the shape {shape} in {kind}")
        return TensorEntry(name, kind, tuple(shape), elements, elements // block * block_bytes, offset)

    def _value(self, kind: int, wanted: bool) -> Any:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == STRING:
            return self._string(MAX_TEXT_BYTES).decode(errors="replace")
        if kind == ARRAY:
            return self._array(self._number(_U32), self._number(_U64), wanted)
        return self._fail(f"metadata of the unknown type {kind}")

    def _array(self, kind: int, length: int, wanted: bool) -> Array:
        if wanted and length > MAX_WANTED_ITEMS:
            self._fail(f"an array of {length:,} items in the metadata")
        if kind == STRING:
            ends = self._skip_strings(length, wanted)
            return Array(length, tuple(bytes(self._bytes[a:b]) for a, b in ends))
        if kind not in _SCALARS:
            self._fail(f"a metadata array of the unknown type {kind}")
        layout = _SCALARS[kind]
        self._need(length * layout.size)
        begin, self._at = self._at, self._at + length * layout.size
        if length > MAX_KEPT_ITEMS and not wanted:
            return Array(length, kind=kind)
        self._kept += 0 if wanted else length
        if self._kept > MAX_KEPT_SUM:
            self._fail(f"more than {MAX_KEPT_SUM:,} numbers in the metadata's small arrays")
        return Array(length, tuple(v for (v,) in layout.iter_unpack(self._bytes[begin : self._at])), kind)

    def _skip_strings(self, count: int, wanted: bool) -> list[tuple[int, int]]:
        """Go on behind the strings of an array; gives where they are, if they are wanted."""
        self._require(8 * count)
        places: list[tuple[int, int]] = []
        unpack, at = _U64.unpack_from, self._at  # local names: this loop runs 400,000 times for Llama 3
        for _ in range(count):
            if at + 8 > len(self._bytes):
                self._at = at
                self._need(8)
            begin = at + 8
            at = begin + unpack(self._bytes, at)[0]
            if wanted:
                places.append((begin, at))
        self._at = at
        self._need(0)
        return places

    def _string(self, limit: int) -> bytes:
        length = self._number(_U64)
        if length > limit:
            self._fail(f"the header holds a string of {length:,} bytes")
        self._need(length)
        self._at += length
        return bytes(self._bytes[self._at - length : self._at])

    def _require(self, count: int) -> None:
        """Check that the header can go on for `count` bytes."""
        if self._at + count > self._size:
            self._fail("the file ends inside its header", INCOMPLETE)
        if self._at + count > MAX_HEADER_BYTES:
            self._fail(f"the header is longer than {MAX_HEADER_BYTES // 2**20} MiB")

    def _need(self, count: int) -> None:
        """Have the next `count` bytes in memory."""
        if self._at + count <= len(self._bytes):
            return
        self._require(count)
        while len(self._bytes) < self._at + count:
            chunk = self._file.read(2**20)
            if not chunk:  # the file shrank since it was opened
                self._fail("the file ends inside its header", INCOMPLETE)
            self._bytes += chunk
