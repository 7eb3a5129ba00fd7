"""ggml's tensors as llama.cpp's evaluation callback shows them, read through ctypes.

The C structure has no stable layout across versions, so `check_layout` builds tensors with the library and compares
every field that is read here with what the library itself says. Call it before anything else.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from leafwise.quant.errors import QuantizeError

F32 = 0
"""The type of activations."""
_OBJECT_BYTES = 32  # ggml's bookkeeping before each tensor


class Tensor(ctypes.Structure):
    """`struct ggml_tensor`."""

    @property
    def label(self) -> str:
        """Its name."""
        return bytes(self.name).decode("utf-8", "replace")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Elements per dimension, the fastest first."""
        return tuple(self.ne)

    def source(self, index: int) -> Tensor | None:
        """An operand."""
        pointer = self.src[index]
        return pointer.contents if pointer else None

    @property
    def address(self) -> int:
        """Where the structure lies: the same tensor is at the same place during a decode."""
        return ctypes.addressof(self)

    def floats(self) -> NDArray[np.float32]:
        """A copy of the elements, shape `self.shape` reversed.

        Raises:
            QuantizeError: they are not F32, or not one after the other.
        """
        steps = np.cumprod((4, *self.shape[:3])).tolist()
        if self.type != F32 or list(self.nb) != steps:
            raise QuantizeError(
                f"llama.cpp keeps {self.label} in a form that is not known here (type {self.type})",
                "please report this, with the version of llama-cpp-python",
            )
        values = np.empty(self.shape[::-1], np.float32)
        library().ggml_backend_tensor_get(ctypes.byref(self), values.ctypes.data, 0, values.nbytes)
        return values


Tensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(Tensor) * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
    ("extra", ctypes.c_void_p),
    ("padding", ctypes.c_char * 8),
]


class _Memory(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@functools.cache
def library() -> Any:
    """The `libggml-base` that llama.cpp uses, with the signatures of what is called here."""
    # Through libllama and not by its own name: the wheel holds several copies of libggml-base, and what is loaded by
    # another file name than libllama's would be a second library with a state of its own.
    base = ctypes.CDLL(llama_cpp.llama_cpp._lib._name)
    tensor = ctypes.POINTER(Tensor)
    base.ggml_op_name.argtypes, base.ggml_op_name.restype = [ctypes.c_int], ctypes.c_char_p
    base.ggml_tensor_overhead.argtypes, base.ggml_tensor_overhead.restype = [], ctypes.c_size_t
    base.ggml_nbytes.argtypes, base.ggml_nbytes.restype = [tensor], ctypes.c_size_t
    base.ggml_get_data.argtypes, base.ggml_get_data.restype = [tensor], ctypes.c_void_p
    base.ggml_get_name.argtypes, base.ggml_get_name.restype = [tensor], ctypes.c_char_p
    base.ggml_set_name.argtypes, base.ggml_set_name.restype = [tensor, ctypes.c_char_p], tensor
    base.ggml_init.argtypes, base.ggml_init.restype = [_Memory], ctypes.c_void_p
    base.ggml_free.argtypes, base.ggml_free.restype = [ctypes.c_void_p], None
    base.ggml_new_tensor_2d.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    base.ggml_new_tensor_2d.restype = tensor
    base.ggml_mul_mat.argtypes, base.ggml_mul_mat.restype = [ctypes.c_void_p, tensor, tensor], tensor
    base.ggml_backend_tensor_get.argtypes = [tensor, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    base.ggml_backend_tensor_get.restype = None
    return base


@functools.cache
def operation(number: int) -> str:
    """What an operation is called, for example `MUL_MAT`."""
    return str((library().ggml_op_name(number) or b"").decode())


def check_layout() -> None:
    """Compare the structure above with what the installed library makes.

    Raises:
        QuantizeError: they differ: this llama.cpp is newer or older than what leafwise knows.
    """
    base = library()
    overhead = base.ggml_tensor_overhead()
    sizes_fit = overhead == ctypes.sizeof(Tensor) + _OBJECT_BYTES
    if not (sizes_fit and _fields_fit(base)):
        raise QuantizeError(
            "the installed llama.cpp lays out its tensors in a way that leafwise does not know "
            f"({overhead} bytes each, expected {ctypes.sizeof(Tensor) + _OBJECT_BYTES})",
            f"use another version of llama-cpp-python than {llama_cpp.__version__}, or a newer leafwise",
        )


def _fields_fit(base: Any) -> bool:
    context = base.ggml_init(_Memory(1 << 20, None, False))
    try:
        weight = base.ggml_set_name(base.ggml_new_tensor_2d(context, F32, 7, 5), b"a weight")
        inputs = base.ggml_new_tensor_2d(context, F32, 7, 3)
        product = base.ggml_mul_mat(context, weight, inputs)
        made, left = product.contents, weight.contents
        facts = (
            (left.label, base.ggml_get_name(weight).decode()),
            (left.shape, (7, 5, 1, 1)),
            (list(left.nb), [4, 28, 140, 140]),
            (left.data, base.ggml_get_data(weight)),
            (left.type, F32),
            (made.shape, (5, 3, 1, 1)),
            (operation(made.op), "MUL_MAT"),
            (operation(left.op), "NONE"),
            ([ctypes.addressof(made.source(i)) for i in (0, 1)], [left.address, inputs.contents.address]),
            (made.source(2), None),
        )
        return all(here == there for here, there in facts)
    finally:
        base.ggml_free(context)
