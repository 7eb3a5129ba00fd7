"""What a file may cost: the limits of an allocation, and their amounts for every choice."""

from __future__ import annotations

from pydantic import Field

from leafwise.quant.contracts import Choice, CostTable
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.gguf_header import GGUFHeader
from leafwise.runtime.memory_plan import least_plan

SPEEDS = ("prefill_seconds", "batch_seconds", "decode_seconds")
"""The measured amounts; a table may lack them."""


class Limits(Contract):
    """Upper bounds; None where there is none. All have to hold together."""

    total_bytes: int | None = Field(default=None, gt=0)
    """Data of all tensors, those that stay as they are among them; the file's header comes on top."""
    bits_per_weight: float | None = Field(default=None, gt=0)
    """The same, over all elements."""
    memory_bytes: int | None = Field(default=None, gt=0)
    """All that running the model takes: the tensors and `beside_weights`."""
    beside_weights: int = Field(default=0, ge=0)
    """Memory for all but the tensors, at the context that is wanted: see `memory_beside_weights`."""
    prefill_seconds: float | None = Field(default=None, gt=0)
    """Sum over the tensors of the time for 512 columns."""
    decode_seconds: float | None = Field(default=None, gt=0)
    """Sum over the tensors of the time for one column."""
    batch_seconds: float | None = Field(default=None, gt=0)
    """Sum over the tensors of the time for 16 columns."""
    error: float | None = Field(default=None, ge=0)
    """Predicted loss; for an objective other than that."""


class Bound(Contract):
    """A limit as a linear constraint: the sum of the choices' amounts is at most `most`."""

    limit: str
    """The field of `Limits`."""
    amount: str
    """The field of `Choice` that is added up."""
    most: float
    """For the sum over the choices."""
    other: float
    """Comes on top of the sum, whatever is chosen, in units of the amount."""
    scale: float
    """Units of the limit per unit of the amount."""

    def value(self, amount: float) -> float:
        """A sum of amounts in the limit's units, with all that comes on top."""
        return (amount + self.other) * self.scale


def bounds(limits: Limits, table: CostTable) -> tuple[Bound, ...]:
    """The limits that are set."""
    parameters = table.other_parameters + sum(elements(tensor.shape) for tensor in table.tensors)
    kinds = {
        "total_bytes": ("bytes", float(table.other_bytes), 1.0),
        "bits_per_weight": ("bytes", float(table.other_bytes), 8 / max(1, parameters)),
        "memory_bytes": ("bytes", float(table.other_bytes + limits.beside_weights), 1.0),
        **{speed: (speed, 0.0, 1.0) for speed in SPEEDS},
        "error": ("error", 0.0, 1.0),
    }
    made = []
    for name, (amount, other, scale) in kinds.items():
        value = getattr(limits, name)
        if value is not None:
            made.append(Bound(limit=name, amount=amount, most=value / scale - other, other=other, scale=scale))
    return tuple(made)


def elements(shape: tuple[int, ...]) -> int:
    """Number of elements of a tensor."""
    count = 1
    for extent in shape:
        count *= extent
    return count


def amount_of(choice: Choice, amount: str, weight: float) -> float | None:
    """What a choice adds to a sum; None where it was not measured.

    Args:
        choice: a tensor's choice.
        amount: `bytes`, `error` or one of `SPEEDS`.
        weight: the tensor's sensitivity, a factor of its error.
    """
    value = getattr(choice, amount)
    if value is None:
        return None
    return float(value) * (weight if amount == "error" else 1.0)


def memory_beside_weights(header: GGUFHeader, context: int) -> int:
    """Bytes that running a model takes beside its tensors, with one sequence: KV cache, computing, process.

    Raises:
        UsageError, EngineError: the model cannot have this context.
    """
    plan = least_plan(header, EngineOptions(context=context), name=header.name or "the model")
    return plan.total_bytes - plan.weight_bytes


def say(limit: str, value: float) -> str:
    """A limit's value for people."""
    if limit in ("total_bytes", "memory_bytes"):
        return f"{value / 1e9:,.4f} GB" if value >= 1e9 else f"{value / 1e6:,.3f} MB"
    if limit == "bits_per_weight":
        return f"{value:.4f} bits per weight"
    if limit in SPEEDS:
        return f"{value * 1e3:,.3f} ms ({limit.removesuffix('_seconds')})"
    return f"{value:.6g} ({limit})"
