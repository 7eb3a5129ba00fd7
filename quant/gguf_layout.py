"""Where things are in a GGUF header: every tensor's type and shape, and the metadata's entries as bytes.

For files whose header was checked before (`runtime.gguf_header.read_header`) or was just written by llama.cpp.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from leafwise.quant.errors import QuantizeError
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_entries import tensor_types
from leafwise.runtime.gguf_walk import MAX_HEADER_BYTES

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_U32_TYPE, _STRING, _ARRAY = 4, 8, 9
_OPENING_BYTES = 24  # magic, version, number of tensors, number of entries


class TensorPlace(NamedTuple):
    """One tensor of a file."""

    name: str
    """For example `blk.0.attn_q.weight`."""
    shape: tuple[int, ...]
    """Elements per dimension, the row's length first."""
    type: str
    """Its type in lower case, for example `q4_k`."""

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


class Layout(NamedTuple):
    """A header."""

    entries: dict[str, bytes]
    """The metadata: for each key the whole entry, key and value, as it is in the file."""
    tensors: tuple[TensorPlace, ...]
    """In the order of the file."""
    tensor_bytes: bytes
    """The description of the tensors, as it is in the file."""
    data_start: int
    """Where the tensors' data begins."""


def read_layout(path: Path) -> Layout:
    """Read a header.

    Raises:
        ModelFileError: it makes no sense.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_HEADER_BYTES)
    try:
        return _layout(data)
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path}: the header makes no sense ({error})", "make or get the file again") from error


def type_names() -> frozenset[str]:
    """All tensor types, in lower case."""
    return frozenset(_types())


def type_number(name: str) -> int:
    """A type's number in the file."""
    return _types()[name][0]


def row_block(name: str) -> int:
    """Elements that a row's length must be a multiple of."""
    return _types()[name][1]


def type_bytes(name: str, elements: int) -> int:
    """Bytes of a tensor of this type."""
    _, block, size = _types()[name]
    return elements // block * size


def room_for(entries: Mapping[str, str]) -> int:
    """Bytes that text entries take in a header."""
    return sum(len(_text_entry(key, value)) for key, value in entries.items())


def write_entries(path: Path, entries: Mapping[str, str], *, drop: str, pad: str) -> None:
    """Put texts into a file's metadata, in place: the header keeps its length, so the data is not moved.

    Args:
        path: the file.
        entries: key and text.
        drop: entries whose key begins so are removed, which makes the room.
        pad: one of `entries`; spaces at the end of its text take up what is left of the room.

    Raises:
        QuantizeError: there is not enough room.
    """
    layout = read_layout(path)
    kept = [entry for key, entry in layout.entries.items() if not key.startswith(drop)]
    used = _OPENING_BYTES + sum(map(len, kept)) + room_for(entries) + len(layout.tensor_bytes)
    left = layout.data_start - used
    if left < 0:
        raise QuantizeError(f"the header has no room for the recipe: {-left:,} bytes are missing")
    texts = {key: value + " " * left if key == pad else value for key, value in entries.items()}
    body = b"".join([*kept, *(_text_entry(*item) for item in texts.items()), layout.tensor_bytes])
    with path.open("r+b") as file:
        file.seek(_OPENING_BYTES - _U64.size)
        file.write(_U64.pack(len(kept) + len(texts)) + body)


@cache
def _types() -> dict[str, tuple[int, int, int]]:
    """Name -> number, elements per block, bytes per block."""
    return {name.lower(): (number, block, size) for number, (name, block, size) in tensor_types().items()}


@cache
def _type_name(number: int) -> str:
    return next(name for name, (other, _, _) in _types().items() if other == number)


def _text_entry(key: str, value: str) -> bytes:
    name, text = key.encode(), value.encode()
    return _U64.pack(len(name)) + name + _U32.pack(_STRING) + _U64.pack(len(text)) + text


def _layout(data: bytes) -> Layout:
    count, keys = _U64.unpack_from(data, 8)[0], _U64.unpack_from(data, 16)[0]
    at, alignment = _OPENING_BYTES, 32
    entries = {}
    for _ in range(keys):
        begin = at
        key, at = _text(data, at)
        kind = _U32.unpack_from(data, at)[0]
        if key == "general.alignment" and kind == _U32_TYPE:
            alignment = _U32.unpack_from(data, at + 4)[0]
        at = _skip(data, at + 4, kind)
        entries[key] = data[begin:at]
    begin = at
    tensors = []
    for _ in range(count):
        name, at = _text(data, at)
        dimensions = _U32.unpack_from(data, at)[0]
        shape = struct.unpack_from(f"<{dimensions}Q", data, at + 4)
        at += 4 + 8 * dimensions
        tensors.append(TensorPlace(name, shape, _type_name(_U32.unpack_from(data, at)[0])))
        at += 12
    return Layout(entries, tuple(tensors), data[begin:at], -(-at // alignment) * alignment)


def _text(data: bytes, at: int) -> tuple[str, int]:
    length = _U64.unpack_from(data, at)[0]
    return data[at + 8 : at + 8 + length].decode(), at + 8 + length


def _skip(data: bytes, at: int, kind: int) -> int:
    """The position after a value."""
    if kind == _STRING:
        return at + 8 + int(_U64.unpack_from(data, at)[0])
    if kind != _ARRAY:
        return at + _SCALAR_BYTES[kind]
    kind, length = _U32.unpack_from(data, at)[0], _U64.unpack_from(data, at + 4)[0]
    at += 12
    if kind != _STRING:
        return at + int(length) * _SCALAR_BYTES[kind]
    for _ in range(length):
        at += 8 + int(_U64.unpack_from(data, at)[0])
    return at
