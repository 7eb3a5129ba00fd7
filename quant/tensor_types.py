"""The types that weights can have: their blocks, their bytes, and where an importance matrix is needed for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import UsageError
from leafwise.runtime.gguf_entries import tensor_types

Importance = Literal["unused", "used", "demanded", "required"]


class TensorType(Contract):
    """How a tensor's elements are encoded: rows are cut into blocks, each of a fixed number of bytes."""

    name: str
    """llama.cpp's name in lower case, for example `q4_k`."""
    number: int
    """ggml's number for it, as GGUF files have it."""
    block_length: int
    """Elements of a block; a row must be a multiple of that."""
    block_bytes: int
    """Bytes of an encoded block."""
    importance: Importance
    """What an importance matrix is to its encoding: `unused` changes nothing, `used` improves it, `demanded` is refused
    by llama.cpp without one, save for token_embd and output, `required` cannot be encoded without one at all.
    """

    @property
    def bits(self) -> float:
        """Bits per element."""
        return 8 * self.block_bytes / self.block_length


_IMPORTANCE: dict[str, Importance] = {
    **dict.fromkeys(("f32", "f16", "bf16", "q8_0"), "unused"),
    **dict.fromkeys(("q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "iq4_xs"), "used"),
    **dict.fromkeys(("q3_k", "iq3_s", "q2_k"), "used"),
    **dict.fromkeys(("iq3_xxs", "iq2_s"), "demanded"),
    **dict.fromkeys(("iq2_xs", "iq2_xxs"), "required"),
}


def _types() -> dict[str, TensorType]:
    known = {
        name.lower(): TensorType(
            name=name.lower(),
            number=number,
            block_length=length,
            block_bytes=size,
            importance=_IMPORTANCE[name.lower()],
        )
        for number, (name, length, size) in tensor_types().items()
        if name.lower() in _IMPORTANCE
    }
    return dict(sorted(known.items(), key=lambda item: (-item[1].bits, item[0])))


TYPES: dict[str, TensorType] = _types()
"""The types that make sense for weights, most bits first; iq1_s, iq1_m and the ternary ones are for special models."""


def type_named(name: str) -> TensorType:
    """The type of a name, in any case.

    Raises:
        UsageError: there is none.
    """
    if name.lower() not in TYPES:
        raise UsageError(f"there is no tensor type {name!r}", f"use some of {', '.join(TYPES)}")
    return TYPES[name.lower()]


def fits(type_: TensorType, row_length: int) -> bool:
    """Whether rows of this length can have the type: they must be whole blocks."""
    return row_length > 0 and row_length % type_.block_length == 0


def bytes_of(type_: TensorType, shape: Sequence[int]) -> int:
    """Size of an encoded tensor.

    Args:
        type_: the type.
        shape: elements per dimension as GGUF has them, the row's length first.

    Raises:
        UsageError: its rows cannot have the type.
    """
    if not fits(type_, shape[0]):
        raise UsageError(
            f"rows of {shape[0]:,} elements cannot be {type_.name}, whose blocks have {type_.block_length}",
            "choose a type of smaller blocks: q8_0, q5_1, q5_0, q4_1, q4_0 and iq4_nl have 32",
        )
    return math.prod(shape) // type_.block_length * type_.block_bytes


def encodable(type_: TensorType, name: str, *, importance: bool) -> bool:
    """Whether llama.cpp encodes a tensor in a type, given or not given its importance.

    The rule of `llama_model_quantize`: token_embd and output may go without where the encoder itself can.
    """
    if importance or type_.importance in ("unused", "used"):
        return True
    exempt = name in ("token_embd.weight", "per_layer_token_embd.weight", "output.weight")
    return exempt and type_.importance == "demanded"
