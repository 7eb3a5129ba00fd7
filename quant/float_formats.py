"""F32, F16 and BF16, converted with numpy alone: a BF16 number is the upper half of an F32, held here as uint16."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from leafwise.quant.errors import QuantizeError

FloatType = Literal["f32", "f16", "bf16"]
"""What elements are stored as."""
STORED: dict[FloatType, np.dtype[np.generic]] = {
    "f32": np.dtype("<f4"),
    "f16": np.dtype("<f2"),
    "bf16": np.dtype("<u2"),
}
"""The numpy type that holds the elements' bits."""


def to_f32(bits: npt.NDArray[np.generic], type_: FloatType) -> npt.NDArray[np.float32]:
    """The values of elements stored as `type_`; exact."""
    if type_ == "bf16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.astype(np.float32, copy=False)


def from_f32(values: npt.NDArray[np.float32], type_: FloatType) -> npt.NDArray[np.generic]:
    """Finite values rounded to nearest, ties to even; too large ones become infinite."""
    if type_ == "f32":
        return values
    if type_ == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype(np.uint16)


def convert(bits: npt.NDArray[np.generic], from_: FloatType, to: FloatType, name: str) -> npt.NDArray[np.generic]:
    """Store elements as another type.

    Args:
        bits: elements stored as `from_`, any shape.
        from_: how they are stored.
        to: how to store them.
        name: of the tensor, for the error.

    Raises:
        QuantizeError: an element is NaN or infinite, or `to` cannot hold it.
    """
    values = to_f32(bits, from_)
    if not np.isfinite(values).all():
        raise QuantizeError(f"the tensor {name} holds NaN or infinite values", "download the checkpoint again")
    if from_ == to:
        return bits
    made = from_f32(values, to)
    if not np.isfinite(to_f32(made, to)).all():
        largest = float(np.abs(values).max())
        raise QuantizeError(
            f"the tensor {name} holds values up to {largest:.3g}, too large for {to.upper()}", "use bf16 or f32"
        )
    return made
