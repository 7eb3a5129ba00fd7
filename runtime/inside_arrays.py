"""Arrays and scalars of numpy, for the value codec.

Elements cross as their bytes, little endian, in C order, so only kinds whose bytes are all there is to them do:
booleans, integers, floats and complex numbers of the sizes below, bytes and text of fixed length, dates and durations.
`longdouble` has padding and differs between machines; objects, records and `StringDType` hold more than their bytes;
the data of a masked array means nothing without its mask. Any other subclass of `ndarray` crosses as the plain array
that it holds.

Nothing here imports numpy. Where it is not loaded there is no array to send, and an array that comes is malformed; a
number or a text comes out as the Python value that it equals, because tests of a program that uses numpy may not.

Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leafwise.runtime.inside_codec import Codec, Tree

MAX_DIMENSIONS = 64
"""Most dimensions of an array; numpy's own limit."""
_DTYPE = (
    r"\|b1|\|[iu]1|<[iu][248]|<f[248]|<c(?:8|16)|\|S[1-9]\d{0,6}|<U[1-9]\d{0,6}"
    r"|<[mM]8(?:\[(?:[1-9]\d{0,8})?(?:[YMWDhms]|[munpfa]s)\])?"
)
_FORMATS = {
    **{"|b1": "<?", "|i1": "<b", "<i2": "<h", "<i4": "<i", "<i8": "<q", "|u1": "<B", "<u2": "<H", "<u4": "<I"},
    **{"<u8": "<Q", "<f2": "<e", "<f4": "<f", "<f8": "<d", "<c8": "<ff", "<c16": "<dd"},
}
"""How `struct` reads a number of each dtype."""


def array_type() -> Any:
    """The class `ndarray`, or None where numpy is not loaded."""
    return getattr(sys.modules.get("numpy"), "ndarray", None)


# Each takes a class of numpy and gives how its values, and those of its subclasses, are encoded. As in the codec, they
# are read through that class's own methods: a subclass may override any.


def array_encoder(ndarray: Any) -> Callable[[Codec, Any, int], Tree]:
    """Encodes arrays as `{"a": [dtype, shape, bytes]}`."""

    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        array = ndarray.__array__(value)
        data = _data(codec, array)
        return codec.refer(value) if data is None else {"a": [data[0], list(array.shape), data[1]]}

    return encode


def scalar_encoder(generic: Any) -> Callable[[Codec, Any, int], Tree]:
    """Encodes numbers, dates and durations of numpy as `{"g": [dtype, bytes]}`."""

    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        data = _data(codec, generic.__array__(value))
        return codec.refer(value) if data is None else {"g": [*data]}

    return encode


def text_encoder(text: Any) -> Callable[[Codec, Any, int], Tree]:
    """Encodes `str_` and `bytes_`, not by way of an array because that would lose the zeros at their end."""
    name, plain = ("U", str.__str__) if issubclass(text, str) else ("S", bytes.__bytes__)
    return lambda codec, value, depth: {"g": [name, codec.each((plain(value),), 1, depth)]}


def _data(codec: Codec, array: Any) -> tuple[str, str] | None:
    if array.dtype.kind not in "biufcSUmM":
        return None
    dtype = array.dtype.newbyteorder("<").str
    if not re.fullmatch(_DTYPE, dtype):
        return None
    codec.spend(array.size)
    codec.limit(array.nbytes, "array")  # before the copy: a broadcast array may claim any size
    return dtype, array.astype(dtype, copy=False).tobytes().hex()


def decode_array(codec: Codec, payload: Tree, depth: int) -> Any:
    """A new, writable array."""
    dtype, shape, data = payload
    return _array(codec, dtype, shape, data)


def decode_scalar(codec: Codec, payload: Tree, depth: int) -> Any:
    """A scalar of numpy, or where numpy is not loaded the Python value that it equals."""
    dtype, data = payload
    numpy = sys.modules.get("numpy")
    if dtype not in ("U", "S"):
        return _array(codec, dtype, [], data)[()] if numpy else _number(dtype, bytes.fromhex(data))
    (text,) = codec.all(data, depth)
    if type(text) is not (str if dtype == "U" else bytes):
        raise TypeError("text expected")
    return getattr(numpy, "str_" if dtype == "U" else "bytes_")(text) if numpy else text


def _number(dtype: str, raw: bytes) -> Any:
    if dtype not in _FORMATS or len(raw) != struct.calcsize(_FORMATS[dtype]):
        raise LookupError("numpy is not loaded here")
    parts = struct.unpack(_FORMATS[dtype], raw)
    return parts[0] if len(parts) == 1 else complex(*parts)


def _array(codec: Codec, dtype: Tree, shape: Tree, data: Tree) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        raise LookupError("numpy is not loaded here")
    if not re.fullmatch(_DTYPE, dtype):
        raise ValueError("no such dtype crosses")
    if type(shape) is not list or len(shape) > MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("not a shape")
    codec.spend(prod(shape))
    raw = bytearray.fromhex(data)
    if prod(shape) * numpy.dtype(dtype).itemsize != len(raw):
        raise ValueError("shape and bytes differ")
    # numpy trusts its memory: other bytes than 0 and 1 make odd booleans, and reading no character a SystemError
    highest = {"b": ("u1", 1), "U": ("<u4", sys.maxunicode)}.get(dtype[1])
    if highest and numpy.any(numpy.frombuffer(raw, highest[0]) > highest[1]):
        raise ValueError("bytes that are no element")
    return numpy.ndarray(shape, dtype, raw).copy()
