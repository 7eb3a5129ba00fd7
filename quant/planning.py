"""From what a user asks for to a recipe: limits, the integer linear program, and words on every choice."""

from __future__ import annotations

import json
import math

from pydantic import Field

from leafwise.quant.allocate import Objective, allocate
from leafwise.quant.contracts import CostTable, Recipe
from leafwise.quant.errors import QuantizeError
from leafwise.quant.evidence import Evidence
from leafwise.quant.limits import Limits, memory_beside_weights
from leafwise.quant.recipes import recipe_of
from leafwise.runtime.contracts import Contract
from leafwise.runtime.gguf_header import GGUFHeader

SLACK = 0.1
"""What `for_this_machine` may be slower than the fastest types, as a share."""
_HURRY: tuple[Objective, ...] = ("prefill_seconds", "batch_seconds", "decode_seconds")
_FAST_BITS = 4.0  # below that speed is not worth its price
_ROUNDING = 1e-6  # of sums
_METADATA_BYTES = 1 << 14  # provenance
_TENSOR_BYTES = 200  # of the recipe: a tensor's type and why, beside its name twice; and its padding
_USUAL_BITS = 4.5


class Ask(Contract):
    """What a file shall be; all limits hold together."""

    bits_per_weight: float | None = Field(default=None, gt=0, le=32)
    """Over all tensors."""
    file_bytes: int | None = Field(default=None, gt=0)
    """Of the whole file."""
    memory_bytes: int | None = Field(default=None, gt=0)
    """For running it with `context` tokens: weights, KV cache, computing."""
    context: int = Field(default=8192, gt=0)
    """Tokens of context that must fit as well."""
    for_this_machine: bool = False
    """Latency first: about as fast here as the fastest types are, in prefill and with many sequences."""
    slack: float = Field(default=SLACK, ge=0)
    """What that may be slower, as a share."""

    @property
    def anything(self) -> bool:
        """Whether there is a limit at all."""
        return self.for_this_machine or any((self.bits_per_weight, self.file_bytes, self.memory_bytes))

    def words(self) -> dict[str, str]:
        """What was asked for, as a recipe keeps it."""
        asked = self.model_dump(exclude_defaults=True)
        if self.memory_bytes:
            asked["context"] = self.context
        return {name: str(value) for name, value in asked.items()}

    def bits(self, header: GGUFHeader) -> float:
        """Bits per weight that it comes to, about."""
        sizes = [self.file_bytes, self.memory_bytes and self.memory_bytes - memory_beside_weights(header, self.context)]
        bits = [self.bits_per_weight, *(8 * size / header.parameters for size in sizes if size)]
        return max(1.0, min((b for b in bits if b), default=_USUAL_BITS))


def plan(evidence: Evidence, ask: Ask) -> Recipe:
    """Choose a type for every tensor.

    Raises:
        QuantizeError: it can't be done; the message says which limit, and by how much.
    """
    if not ask.anything:
        raise QuantizeError("nothing was asked for", "give bits per weight, a size, memory, or --for-this-machine")
    losses = evidence.losses
    allocation = allocate(losses, limits_of(ask, evidence))
    recipe = recipe_of(allocation, losses, asked=ask.words())
    predicted = {
        ("mean_kl" if evidence.sensitivities and name == "error" else name): value
        for name, value in recipe.predicted.items()
    }
    return recipe.model_copy(update={"predicted": predicted})


def limits_of(ask: Ask, evidence: Evidence) -> Limits:
    """The limits of the integer linear program.

    Raises:
        QuantizeError: speeds are asked for and were not measured.
    """
    header = evidence.header
    own = header.file_bytes - header.weight_bytes + _recipe_bytes(evidence.table)
    limits = Limits(
        bits_per_weight=ask.bits_per_weight,
        total_bytes=max(1, ask.file_bytes - own) if ask.file_bytes else None,
        memory_bytes=ask.memory_bytes,
        beside_weights=memory_beside_weights(header, ask.context) if ask.memory_bytes else 0,
    )
    if not ask.for_this_machine:
        return limits
    fast = _fast_types(evidence.table)
    for speed in _HURRY:  # each as fast as those before let it be
        fastest = allocate(evidence.table, limits, objective=speed, allowed=fast).value
        limits = limits.model_copy(update={speed: fastest * (1 + ask.slack + _ROUNDING)})
    return limits


def _recipe_bytes(table: CostTable) -> int:
    """About what the recipe takes in the file's header, and at least that."""
    return _METADATA_BYTES + sum(_TENSOR_BYTES + 2 * len(json.dumps(tensor.name)) for tensor in table.tensors)


def _fast_types(table: CostTable) -> list[str]:
    """Types of at least four bits."""
    bits: dict[str, float] = {}
    for tensor in table.tensors:
        for choice in tensor.choices:
            bits[choice.type] = 8 * choice.bytes / math.prod(tensor.shape)
    return [name for name, value in bits.items() if value >= _FAST_BITS]
