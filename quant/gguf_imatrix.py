"""llama.cpp's importance matrix files, read without trust and written whole.

A GGUF with `general.type` "imatrix", the texts' names (`imatrix.datasets`), `imatrix.chunk_count` and
`imatrix.chunk_size`, and for each weight tensor NAME two tensors in F32: NAME.in_sum2 (columns, matrices), the sums of
squares, and NAME.counts (1, matrices). What else is in the file is ignored: by llama.cpp, which lets our additions be
(keys `leafwise.*`, and `blk.N.attn_k.pair_maxima` of (pairs, KV heads)), and here. Files from before July 2025 have
another form, see `imatrix_legacy`.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from leafwise.quant.errors import QuantizeError
from leafwise.quant.imatrix_legacy import looks_legacy, read_legacy
from leafwise.quant.importance import Floats, ImportanceMatrix
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_walk import BROKEN, MAX_KEPT_ITEMS, Array, Walk, open_gguf
from leafwise.runtime.paths import write_whole

_SUMS, _COUNTS = ".in_sum2", ".counts"
_MAXIMA = re.compile(r"blk\.(\d{1,6})\.attn_k\.pair_maxima")
_MODEL_KEY, _TEXT_KEY = "leafwise.imatrix.model_sha256", "leafwise.imatrix.text_sha256"
_ALIGNMENT = 32
_U32, _STRING, _ARRAY = 4, 8, 9  # GGUF's numbers of value types
_GATHER = "gather it again: `leafwise quantize imatrix`"


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read an importance matrix, of llama.cpp's tool or ours, in its current or its former format.

    Raises:
        ModelFileError: the file cannot be read, is none, is damaged, or holds numbers that cannot be.
    """
    if looks_legacy(path):
        return read_legacy(path)
    digest, metadata = _checked(path)
    if metadata.get("general.type") != "imatrix":
        raise ModelFileError(f"{path} is a GGUF file but not an importance matrix", _GATHER)
    try:
        tensors, datasets = _content(path)
    # the package believes what it reads; what the walk lets pass and the package does not must not be a traceback
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, OSError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}", BROKEN) from error
    names = sorted(name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS))
    if not names:
        raise ModelFileError(f"{path} holds no sums of any tensor", _GATHER)
    pairs = {name: _pair(path, name, tensors) for name in names}
    return ImportanceMatrix(
        sums={name: sums for name, (sums, _) in pairs.items()},
        counts={name: counts for name, (_, counts) in pairs.items()},
        chunks=_count(path, metadata, "imatrix.chunk_count"),
        chunk_size=_count(path, metadata, "imatrix.chunk_size"),
        datasets=datasets,
        key_maxima=_maxima(path, tensors),
        model_sha256=_text(metadata, _MODEL_KEY),
        text_sha256=_text(metadata, _TEXT_KEY),
        sha256=digest,
    )


def write_imatrix(matrix: ImportanceMatrix, path: Path) -> ImportanceMatrix:
    """Write a file that llama.cpp's tools read; gives the matrix with the file's hash.

    Raises:
        QuantizeError: it cannot be written.
    """
    data = _encode(matrix)
    try:
        write_whole(path, data)
    except OSError as error:
        raise QuantizeError(f"cannot write {path}: {error.strerror}", "choose another place, or free space") from error
    return replace(matrix, sha256=hashlib.sha256(data).hexdigest())


def sealed(matrix: ImportanceMatrix) -> ImportanceMatrix:
    """The matrix with the hash that its file has, once it is written."""
    return replace(matrix, sha256=hashlib.sha256(_encode(matrix)).hexdigest())


# reading


def _checked(path: Path) -> tuple[str, dict[str, Any]]:
    """The file's hash and metadata; after that every count, name and offset in its header is sound."""
    with open_gguf(path) as file:
        try:
            walk = Walk(path, file, os.fstat(file.fileno()).st_size)
            _, count = walk.opening()
            metadata = walk.metadata()
            if any(isinstance(value, Array) and value.length > MAX_KEPT_ITEMS for value in metadata.values()):
                raise ModelFileError(f"{path} is a GGUF file but not an importance matrix", _GATHER)
            walk.tensors(count, metadata)
            file.seek(0)
            digest = hashlib.sha256()
            while data := file.read(2**20):
                digest.update(data)
            return digest.hexdigest(), metadata
        except OSError as error:
            raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the disk") from error


def _content(path: Path) -> tuple[dict[str, Floats], tuple[str, ...]]:
    reader = gguf.GGUFReader(path)
    tensors = {}
    for tensor in reader.tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
            # a copy: the package maps the file, which may be replaced while this lives
            tensors[tensor.name] = np.array(tensor.data, np.float32).reshape(tensor.shape[::-1].tolist())
    field = reader.fields.get("imatrix.datasets")
    texts = [bytes(field.parts[at]) for at in field.data] if field and field.types[-1:] == [_STRING] else []
    return tensors, tuple(text.decode("utf-8", "replace") for text in texts)


def _pair(path: Path, name: str, tensors: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Sums and counts of a tensor."""
    sums, counts = tensors[name + _SUMS].ravel(), tensors.get(name + _COUNTS, np.empty(0, np.float32)).ravel()
    if not counts.size or sums.size % counts.size:
        raise ModelFileError(f"{path}: {counts.size} counts for {sums.size} sums of {name[:60]!r}", BROKEN)
    check_numbers(path, name, sums)
    check_numbers(path, name, counts)
    return sums, counts


def check_numbers(path: Path, name: str, numbers: Floats) -> None:
    """Refuse what no sum of squares, count or length can be.

    Raises:
        ModelFileError: a number is negative, infinite or none.
    """
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise ModelFileError(f"{path}: the numbers of {name[:60]!r} are negative or not finite", _GATHER)


def _maxima(path: Path, tensors: Mapping[str, Floats]) -> dict[int, Floats]:
    found = {}
    for name, values in tensors.items():
        if match := _MAXIMA.fullmatch(name):
            check_numbers(path, name, values)
            found[int(match[1])] = np.atleast_2d(values)
    return dict(sorted(found.items()))


def _count(path: Path, metadata: Mapping[str, Any], key: str) -> int:
    value = metadata.get(key, 0)
    if type(value) is not int or not 0 <= value < 2**32:
        raise ModelFileError(f"{path}: {key} is {str(value)[:40]!r}, not a count", BROKEN)
    return value


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else ""


# writing


def _encode(matrix: ImportanceMatrix) -> bytes:
    tensors: list[tuple[str, Floats]] = []
    for name in sorted(matrix.sums):
        counts = matrix.counts[name].reshape(-1, 1)
        tensors += [(name + _SUMS, matrix.sums[name].reshape(len(counts), -1)), (name + _COUNTS, counts)]
    tensors += [(f"blk.{block}.attn_k.pair_maxima", matrix.key_maxima[block]) for block in sorted(matrix.key_maxima)]
    entries = [
        _string("general.type") + struct.pack("<I", _STRING) + _string("imatrix"),
        _string("imatrix.datasets")
        + struct.pack("<IIQ", _ARRAY, _STRING, len(matrix.datasets))
        + b"".join(map(_string, matrix.datasets)),
        _string("imatrix.chunk_count") + struct.pack("<II", _U32, min(matrix.chunks, 2**32 - 1)),
        _string("imatrix.chunk_size") + struct.pack("<II", _U32, matrix.chunk_size),
    ]
    for key, value in ((_MODEL_KEY, matrix.model_sha256), (_TEXT_KEY, matrix.text_sha256)):
        if value:
            entries.append(_string(key) + struct.pack("<I", _STRING) + _string(value))
    infos, data, end = b"", [], 0
    for name, values in tensors:
        infos += _string(name) + struct.pack("<IQQIQ", 2, *values.shape[::-1], 0, end)
        raw = np.ascontiguousarray(values, "<f4").tobytes()
        data += [raw, bytes(-len(raw) % _ALIGNMENT)]
        end += len(raw) + len(data[-1])
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries) + infos
    return b"".join([head, bytes(-len(head) % _ALIGNMENT), *data])


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    return struct.pack("<Q", len(raw)) + raw
