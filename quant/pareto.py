"""The frontier of size against predicted loss: an allocation for every size, and the uniform types beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from leafwise.quant.allocate import allocate, totals_of
from leafwise.quant.contracts import CostTable
from leafwise.quant.errors import QuantizeError
from leafwise.quant.json_files import read_json
from leafwise.quant.limits import Limits
from leafwise.runtime.contracts import Contract

_MOST_POINTS = 1000
_MAX_BYTES = 2**30


class SweepPoint(Contract):
    """The best allocation of a size."""

    asked: float
    """Bits per weight that it was allowed."""
    totals: dict[str, float]
    """As `Allocation.totals`."""
    shares: dict[str, float]
    """Types, and the share of the weights that has each; largest first."""
    gap: float
    """As `Allocation.gap`."""


class Uniform(Contract):
    """One type for every tensor."""

    type: str
    """The type."""
    totals: dict[str, float]
    """As `Allocation.totals`."""


class Sweep(Contract):
    """All of it."""

    points: tuple[SweepPoint, ...]
    """By size, the smallest first."""
    skipped: dict[str, str]
    """Sizes that no choice reaches, and why."""
    uniform: tuple[Uniform, ...]
    """To compare with, the smallest first."""


def read_table(path: Path) -> CostTable:
    """Read a cost file.

    Raises:
        QuantizeError: there is no such file, or it is none.
    """
    return read_json(
        path,
        CostTable,
        reading="the costs",
        expected="a cost table",
        hint="make one with `leafwise quantize costs --out FILE`",
        most=_MAX_BYTES,
    )


def steps(first: float, last: float, step: float) -> list[float]:
    """The sizes of a sweep, in bits per weight, both ends among them.

    Raises:
        QuantizeError: there are none, or too many.
    """
    if not (0 < first <= last < math.inf and 0 < step < math.inf):
        raise QuantizeError(
            f"no sizes from {first:g} to {last:g} in steps of {step:g}", "for example --from 3.5 --to 6 --step 0.25"
        )
    count = (last - first) / step
    if count >= _MOST_POINTS:
        raise QuantizeError(f"a sweep of {count:,.0f} sizes is more than {_MOST_POINTS:,}", "take larger steps")
    made = [round(first + i * step, 9) for i in range(int(count + 1e-9) + 1)]
    return made if math.isclose(made[-1], last) else [*made, last]


def sweep(
    table: CostTable,
    sizes: Sequence[float],
    *,
    sensitivities: Mapping[str, float] | None = None,
    ties: Iterable[Sequence[str]] = (),
    fixed: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Allocate for every size.

    Args:
        table: the costs.
        sizes: bits per weight.
        sensitivities: as `allocate`.
        ties: as `allocate`.
        fixed: as `allocate`.
        progress: told the number of sizes done, and of all.

    Raises:
        QuantizeError: no size can be reached, or names or types are wrong.
    """
    points, skipped, ties = [], {}, [tuple(tie) for tie in ties]
    for done, size in enumerate(sizes):
        if progress:
            progress(done, len(sizes))
        try:
            made = allocate(table, Limits(bits_per_weight=size), sensitivities=sensitivities, ties=ties, fixed=fixed)
        except QuantizeError as error:
            skipped[f"{size:g}"] = error.message
            continue
        points.append(SweepPoint(asked=size, totals=made.totals, shares=shares_of(table, made.types), gap=made.gap))
    if progress:
        progress(len(sizes), len(sizes))
    if not points:
        raise QuantizeError(next(iter(skipped.values()), "there are no sizes"), "sweep larger sizes")
    return Sweep(points=tuple(points), skipped=skipped, uniform=uniform_types(table, sensitivities or {}))


def shares_of(table: CostTable, types: Mapping[str, str]) -> dict[str, float]:
    """Types, and the share of the weights that has each; largest first."""
    counts: dict[str, int] = {}
    for tensor in table.tensors:
        type_ = types[tensor.name]
        counts[type_] = counts.get(type_, 0) + math.prod(tensor.shape)
    whole = sum(counts.values())
    return {type_: count / whole for type_, count in sorted(counts.items(), key=lambda item: -item[1])}


def uniform_types(table: CostTable, weights: Mapping[str, float]) -> tuple[Uniform, ...]:
    """Every type that all tensors can have, for all of them."""
    names = dict.fromkeys(choice.type for tensor in table.tensors for choice in tensor.choices)
    made = []
    for name in names:
        types = {}
        for tensor in table.tensors:
            if tensor.choice(name) is None:
                break
            types[tensor.name] = name
        else:
            made.append(Uniform(type=name, totals=totals_of(table, types, weights)))
    return tuple(sorted(made, key=lambda entry: entry.totals["bytes"]))
