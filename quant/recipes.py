"""Recipes: made from an allocation, read, written, and whether one fits a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from leafwise.quant.allocate import Allocation
from leafwise.quant.contracts import CostTable, Recipe, TensorCosts
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_layout import TensorPlace, row_block, type_names
from leafwise.quant.json_files import read_json
from leafwise.quant.tensor_names import quantizable
from leafwise.runtime.paths import write_whole

_MAX_BYTES = 64 * 2**20
_NAMED = 5  # names that an error lists


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as JSON, whole or not at all.

    Raises:
        QuantizeError: it cannot be written.
    """
    try:
        write_whole(path, (recipe.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise QuantizeError(f"cannot write {path}: {error.strerror}", "choose another place") from error


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        QuantizeError: there is no such file, or it is none.
    """
    hint = "make one with `leafwise quantize`"
    return read_json(path, Recipe, reading="the recipe", expected="a recipe", hint=hint, most=_MAX_BYTES)


def recipe_of(
    allocation: Allocation,
    table: CostTable,
    *,
    asked: Mapping[str, str] | None = None,
    sensitivities: Mapping[str, float] | None = None,
) -> Recipe:
    """The recipe of an allocation, with a few words for every tensor.

    Args:
        allocation: made from the table.
        table: the costs.
        asked: what was asked for.
        sensitivities: those the allocation was made with.
    """
    weights = sensitivities or {}
    total = allocation.totals["error"]
    return Recipe(
        source_sha256=table.source_sha256,
        importance_sha256=table.importance_sha256,
        asked=dict(asked or {}),
        types=allocation.types,
        why={
            tensor.name: allocation.reasons.get(tensor.name)
            or _why(tensor, allocation.types[tensor.name], weights.get(tensor.name, 1.0), total)
            for tensor in table.tensors
        },
        predicted=allocation.totals,
    )


def _why(tensor: TensorCosts, type_: str, weight: float, total: float) -> str:
    """Its share of the predicted loss, and what the next smaller type would change."""
    chosen = tensor.choice(type_)
    assert chosen is not None
    whole = total or 1.0
    said = f"{100 * weight * chosen.error / whole:.2g} % of the loss"
    smaller = [choice for choice in tensor.choices if choice.bytes < chosen.bytes]
    if not smaller:
        return f"{said}; no smaller type"
    next_one = min(smaller, key=lambda choice: choice.error)
    more = 100 * weight * (next_one.error - chosen.error) / whole
    return f"{said}; {next_one.type} would save {(chosen.bytes - next_one.bytes) / 1e6:.3g} MB and add {more:.2g} %"


def check_recipe(recipe: Recipe, tensors: Iterable[TensorPlace]) -> None:
    """Check that a recipe names exactly the tensors of a file that can be quantized, and types that their rows allow.

    Raises:
        QuantizeError: it does not; the message names tensors and types.
    """
    known = {tensor.name: tensor for tensor in tensors}
    if unknown := [name for name in recipe.types if name not in known]:
        raise QuantizeError(f"the recipe has {_some(unknown, 'that the file has not')}", _OTHER_FILE)
    missing = [name for name, tensor in known.items() if quantizable(name, tensor.shape) and name not in recipe.types]
    if missing:
        raise QuantizeError(f"the file has {_some(missing, 'that the recipe has not')}", _OTHER_FILE)
    if strange := sorted({type_ for type_ in recipe.types.values() if type_ not in type_names()}):
        raise QuantizeError(f"the recipe has the unknown type {strange[0]!r}", "types are named as in q4_k")
    unfit = {
        name: f"{name} ({type_}, rows of {known[name].shape[0]:,})"
        for name, type_ in recipe.types.items()
        if known[name].shape[0] % row_block(type_)
    }
    if unfit:
        raise QuantizeError(
            f"the recipe has {_some(unfit.values(), 'whose rows do not fit their type')}",
            "K-quants and most IQ types need rows that are multiples of 256: choose iq4_nl, q4_0, q5_0 or q8_0",
        )


_OTHER_FILE = "a recipe is for the file it was made for: make one for this file"


def _some(names: Iterable[str], what: str) -> str:
    names = list(names)
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    count = f"{len(names):,} tensor{'' if len(names) == 1 else 's'}"
    return f"{count} {what}: {', '.join(names[:_NAMED])}{more}"
