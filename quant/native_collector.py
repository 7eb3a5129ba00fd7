"""What llama.cpp's evaluation callback gathers: sums of squares of what weights are multiplied with, and key maxima."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leafwise.quant.errors import QuantizeError
from leafwise.quant.native_graph import Tensor, operation

_KEY = re.compile(r"Kcur-(\d+)")
_NORMAL, _NEOX = 0, 2  # how RoPE pairs elements: (2i, 2i + 1), or (i, i + half)


class Collector:
    """The evaluation callback: says which tensors it wants to see, and adds up what it sees.

    llama.cpp asks before it computes a tensor, and shows it afterwards if the answer was yes. A multiplication is
    shown right after it was computed, when its input is still there. Several tensors may have the same input: it is
    looked at once.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self.error: Exception | None = None
        self.begin_chunk()

    def begin_chunk(self) -> None:
        """Forget everything."""
        self.sums: dict[str, NDArray[np.float32]] = {}
        self.counts: dict[str, int] = {}
        self.keys: dict[int, NDArray[np.float32]] = {}
        self.begin_decode()

    def begin_decode(self) -> None:
        """Forget which input was seen last: the next decode uses its memory again."""
        self._input = 0
        self._column_sums: tuple[NDArray[np.float32], int] | None = None

    def __call__(self, address: int, ask: bool, _: Any) -> bool:
        """The callback itself. What it returns after an error ends the computation."""
        try:
            tensor = Tensor.from_address(address)
            return self._wants(tensor) if ask else self._look(tensor)
        # an exception cannot pass through native code: `error` brings it to the other side
        except Exception as error:
            self.error = self.error or error
            return False

    def _wants(self, tensor: Tensor) -> bool:
        name = operation(tensor.op)
        if name == "ROPE":
            return bool(_KEY.fullmatch(tensor.label)) and tensor.op_params[2] in (_NORMAL, _NEOX)
        if name not in ("MUL_MAT", "MUL_MAT_ID"):
            return False
        weight, inputs = tensor.source(0), tensor.source(1)
        if weight is None or inputs is None or not weight.label.endswith(".weight"):
            return False
        self._check(name, weight, inputs)
        if inputs.address == self._input and self._column_sums is not None:
            self._add(weight.label)  # seen already
            return False
        return True

    def _check(self, name: str, weight: Tensor, inputs: Tensor) -> None:
        if name == "MUL_MAT_ID":
            raise QuantizeError(
                f"{weight.label} holds experts, which importance matrices are not gathered for here",
                "use llama.cpp's own imatrix tool and give its file",
            )
        stated = self._shapes.get(weight.label)
        if stated is None or weight.shape != (*stated, 1, 1, 1)[:4] or inputs.shape[0] != stated[0]:
            raise QuantizeError(
                f"llama.cpp shows {weight.label} as {weight.shape} times {inputs.shape}, and the file says {stated}",
                "please report this, with the version of llama-cpp-python",
            )

    def _look(self, tensor: Tensor) -> bool:
        if operation(tensor.op) == "ROPE":
            self._see_keys(tensor)
            return True
        weight, inputs = tensor.source(0), tensor.source(1)
        assert weight is not None
        assert inputs is not None
        rows = inputs.floats().reshape(-1, inputs.shape[0])
        self._input = inputs.address
        self._column_sums = np.einsum("ij,ij->j", rows, rows), len(rows)
        self._add(weight.label)
        return True

    def _add(self, name: str) -> None:
        assert self._column_sums is not None
        sums, count = self._column_sums
        if not np.isfinite(sums).all():
            raise QuantizeError(f"the inputs of {name} are not finite", "is the model sound? try it in F32 or BF16")
        self.sums[name] = self.sums[name] + sums if name in self.sums else sums
        self.counts[name] = self.counts.get(name, 0) + count

    def _see_keys(self, tensor: Tensor) -> None:
        found = _KEY.fullmatch(tensor.label)
        assert found is not None
        width, mode = tensor.op_params[1], tensor.op_params[2]
        keys = tensor.floats()[0, :, :, :width]  # (tokens, heads, elements that are rotated)
        first, second = np.split(keys, 2, axis=-1) if mode == _NEOX else (keys[..., 0::2], keys[..., 1::2])
        longest = np.sqrt((first * first + second * second).max(axis=0))
        block = int(found[1])
        known = self.keys.get(block)
        self.keys[block] = longest if known is None else np.maximum(known, longest)
