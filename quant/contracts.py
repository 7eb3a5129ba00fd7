"""What crosses the rooms of `quant`: what each tensor costs in each type, and which type each one gets."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from leafwise.runtime.contracts import Contract

Progress = Callable[[int, int], None]
"""Told how much of a long work is done, and of how much."""


class Choice(Contract):
    """A type that a tensor can have, and what that costs."""

    type: str
    """The type's name in `tensor_types`, for example `q4_k`."""
    bytes: int = Field(ge=0)
    """Size of the encoded tensor."""
    error: float = Field(ge=0, allow_inf_nan=False)
    """sum over rows and columns j of E[x_j^2] * (w_j - q(w_j))^2; E[x_j^2] is 1 where no importance is known. In the
    units of the squared output of the tensor's multiplication, so a proxy for the loss (HAWQ-V3's Omega with the
    activations' second moments for the Hessian), comparable within a tensor and only roughly between tensors.
    """
    prefill_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """To multiply it with 512 columns on this machine, or with one if it is the output matrix, of which a prompt needs
    the last token's logits only; None where that was not measured.
    """
    decode_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """To multiply it with one column."""
    batch_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """To multiply it with 16 columns: one token for each of 16 sequences."""


class TensorCosts(Contract):
    """A tensor that can be quantized."""

    name: str
    """As in the GGUF file, for example `blk.0.ffn_down.weight`."""
    kind: str
    """The name without block and suffix, for example `ffn_down`."""
    block: int | None
    """The transformer block; None outside of them."""
    shape: tuple[int, ...]
    """Elements per dimension as GGUF has them: the row's length first."""
    energy: float = Field(ge=0, allow_inf_nan=False)
    """sum of E[x_j^2] * w_j^2: an error divided by it is relative."""
    choices: tuple[Choice, ...]
    """All types that its row length allows."""

    def choice(self, type_: str) -> Choice | None:
        """What a type costs; None if the tensor cannot have it."""
        return next((choice for choice in self.choices if choice.type == type_), None)


class CostTable(Contract):
    """The content of a cost file: what every tensor of a model costs in every type."""

    source_sha256: str
    """Of the full-precision file."""
    importance_sha256: str | None
    """Of the importance matrix; None where there was none."""
    machine: str
    """Where speeds were measured: processor and threads; empty where they were not."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the rows that were encoded; errors and energies are scaled to all of them."""
    other_bytes: int = Field(ge=0)
    """Bytes of the tensors that stay as they are, norms for example."""
    other_parameters: int = Field(ge=0)
    """Elements of these."""
    tensors: tuple[TensorCosts, ...]
    """In the order of the file."""


class Recipe(Contract):
    """Which type each tensor gets, and why. Applied to another file it is refused."""

    source_sha256: str
    """Of the full-precision file it was made for."""
    importance_sha256: str | None = None
    """Of the importance matrix that the errors were weighted with."""
    asked: dict[str, str] = Field(default_factory=dict)
    """What was asked for, for example {"bpw": "4.5"}."""
    types: dict[str, str]
    """For each tensor's name its type."""
    why: dict[str, str] = Field(default_factory=dict)
    """For each tensor's name a few words."""
    predicted: dict[str, float] = Field(default_factory=dict)
    """Figures of the whole: bytes, bits per weight, error, seconds."""
    measured: dict[str, float] = Field(default_factory=dict)
    """Figures measured on the file that was made: mean KL, top-1 agreement, bytes, seconds."""
