"""ggml's encoders and decoders, bound by ctypes: rows of float32 to a tensor type's bytes and back, at C speed.

The same functions with the same arguments as `llama_model_quantize` calls, so the bytes are the same too. They end the
process on input that they do not expect; everything is checked before.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leafwise.quant.errors import QuantizeError
from leafwise.quant.tensor_types import TensorType, bytes_of

Floats = NDArray[np.float32]
_CHUNK_ELEMENTS = 32 * 512  # llama.cpp's: rows are independent, so this matters to the balance of threads only
# Beyond these some encoders overflow and end the process (tried: weights of 1e29 with iq3_s). No model comes near.
_LARGEST_WEIGHT, _LARGEST_IMPORTANCE = 1e6, 1e20


class _TypeTraits(ctypes.Structure):
    """`struct ggml_type_traits`."""

    _fields_ = (
        ("type_name", c_char_p),
        ("blck_size", c_int64),
        ("blck_size_interleave", c_int64),
        ("type_size", c_size_t),
        ("is_quantized", c_bool),
        ("to_float", CFUNCTYPE(None, c_void_p, c_void_p, c_int64)),
        ("from_float_ref", c_void_p),
    )


def library_path(name: str) -> Path:
    """The file of one of llama.cpp's libraries, `ggml-base` or `ggml-cpu`, as llama-cpp-python brings it.

    Raises:
        QuantizeError: it is not there.
    """
    package = find_spec("llama_cpp")
    folders = list(package.submodule_search_locations or ()) if package else []
    for ending in ("so", "dylib", "dll"):
        for folder in folders:
            path = Path(folder) / "lib" / f"lib{name}.{ending}"
            if path.is_file():
                return path
    raise QuantizeError(f"llama.cpp's library {name} is not there", "build it again with `leafwise setup`")


@cache
def libraries_digest() -> str:
    """16 hexadecimal digits that change when llama.cpp's encoders or multiplications do."""
    digest = hashlib.sha256()
    for name in ("ggml-base", "ggml-cpu"):
        digest.update(library_path(name).read_bytes())
    return digest.hexdigest()[:16]


@cache
def ggml_base() -> ctypes.CDLL:
    """The library, with the types of what is called here."""
    library = ctypes.CDLL(str(library_path("ggml-base")))
    library.ggml_quantize_init.argtypes = [c_int]
    library.ggml_quantize_init.restype = None
    library.ggml_quantize_chunk.argtypes = [c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p]
    library.ggml_quantize_chunk.restype = c_size_t
    library.ggml_validate_row_data.argtypes = [c_int, c_void_p, c_size_t]
    library.ggml_validate_row_data.restype = c_bool
    library.ggml_get_type_traits.argtypes = [c_int]
    library.ggml_get_type_traits.restype = POINTER(_TypeTraits)
    library.ggml_type_size.argtypes = [c_int]
    library.ggml_type_size.restype = c_size_t
    library.ggml_blck_size.argtypes = [c_int]
    library.ggml_blck_size.restype = c_int64
    library.ggml_quantize_requires_imatrix.argtypes = [c_int]
    library.ggml_quantize_requires_imatrix.restype = c_bool
    return library


def encode(values: Floats, type_: TensorType, importance: Floats | None = None, threads: int = 1) -> bytes:
    """Encode rows, as llama.cpp's quantizer does.

    Args:
        values: shape (rows, columns), finite and below a million.
        type_: the type, which the columns must fit.
        importance: shape (columns,), the second moment of each input; finite and not negative.
        threads: rows are shared out among so many.

    Raises:
        UsageError: the columns are no whole blocks of the type.
        QuantizeError: a value or an importance is not finite, a needed importance is missing or of another length, or
            the values are so large that a block's scale is not finite.
    """
    values = np.ascontiguousarray(values, np.float32)
    rows, columns = values.shape
    target = np.empty(bytes_of(type_, (columns, rows)), np.uint8)
    _check(values, type_, importance)
    weights = None if importance is None else np.ascontiguousarray(importance, np.float32)
    library = ggml_base()
    library.ggml_quantize_init(type_.number)  # makes the tables that the threads then share
    step = max(1, _CHUNK_ELEMENTS // columns) if threads > 1 else max(1, rows)
    row_bytes = len(target) // rows if rows else 0
    scales = c_void_p(None) if weights is None else weights.ctypes.data_as(c_void_p)

    def chunk(begin: int) -> bool:
        count = min(step, rows - begin)
        place = target[begin * row_bytes :].ctypes.data
        size = library.ggml_quantize_chunk(type_.number, values[begin:].ctypes.data, place, 0, count, columns, scales)
        return size == count * row_bytes and bool(library.ggml_validate_row_data(type_.number, place, size))

    if not all(_each(chunk, range(0, rows, step), threads)):
        raise QuantizeError(f"the values do not fit {type_.name}: a scale is not finite", "are the weights sound?")
    return target.tobytes()


def _each(work: Callable[[int], bool], items: Sequence[int], threads: int) -> list[bool]:
    if threads < 2 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:  # ctypes lets other threads run during a call
        return list(pool.map(work, items))


def _check(values: Floats, type_: TensorType, importance: Floats | None) -> None:
    if not _between(values, -_LARGEST_WEIGHT, _LARGEST_WEIGHT):
        raise QuantizeError(
            f"the weights have values that are not finite, or above {_LARGEST_WEIGHT:,.0f}",
            "the file is damaged: convert it again",
        )
    if importance is None:
        if type_.importance == "required":
            raise QuantizeError(f"{type_.name} cannot be encoded without an importance matrix", "give one")
        return
    if importance.shape != (values.shape[1],):
        raise QuantizeError(
            f"the importance of {importance.size:,} columns is not for rows of {values.shape[1]:,}",
            "was the importance matrix made with this model?",
        )
    if not _between(importance, 0, _LARGEST_IMPORTANCE):
        raise QuantizeError("the importance matrix has values that are not finite, negative or huge", "make it again")


def _between(values: Floats, least: float, most: float) -> bool:
    """Whether all are; not a number is not."""
    return values.size == 0 or bool(values.min() >= least and values.max() <= most)


def decode(data: bytes | memoryview, type_: TensorType, shape: Sequence[int]) -> Floats:
    """Decode rows.

    Args:
        data: the bytes of the encoded rows.
        type_: their type.
        shape: as GGUF has it: columns first, then rows.

    Returns:
        Shape (rows, columns).

    Raises:
        UsageError: the columns are no whole blocks of the type.
        QuantizeError: there are not the bytes that the shape needs.
    """
    columns, rows = shape
    needed = bytes_of(type_, shape)
    source = np.frombuffer(data, np.uint8)
    if len(source) != needed:
        raise QuantizeError(f"{len(source):,} bytes are not {rows} x {columns} of {type_.name}", "")
    if type_.name == "f32":
        return source.view(np.float32).reshape(rows, columns).copy()
    values = np.empty((rows, columns), np.float32)
    traits = ggml_base().ggml_get_type_traits(type_.number).contents
    traits.to_float(source.ctypes.data, values.ctypes.data, rows * columns)
    return values
