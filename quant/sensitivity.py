"""How much the loss minds each tensor's error: measured, by perturbing one group of tensors at a time.

The cost table's errors are comparable within a tensor. Between tensors they are not: an error in one place does more
harm than in another. One KL divergence measured per group gives the factor between the two, and so a prediction of
the KL divergence of any choice of types: sum over tensors of factor * error. That is the second-order view of HAWQ-V3,
where errors of different tensors add up, with a measured factor in the place of the Hessian's average trace.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, ValidationError

from leafwise.quant.contracts import Choice, CostTable, TensorCosts
from leafwise.quant.costs import Importances
from leafwise.quant.errors import QuantizeError
from leafwise.quant.measure import measure
from leafwise.quant.perturbation import PerturbedCopy
from leafwise.quant.reference import Reference
from leafwise.quant.tensor_types import type_named
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import write_whole

MOST_GROUPS = 48
"""Groups that are measured unless the caller wants more or fewer."""
_SMALLEST_KL = 1e-7  # what rounding alone gives: a group that does no harm at all is not free


class Group(NamedTuple):
    """Tensors that are perturbed together and get one factor."""

    name: str
    """For example `ffn_down 0-2`."""
    tensors: tuple[str, ...]
    """Their names."""


class Perturbation(Contract):
    """One group's measurement."""

    group: str
    """The group's name."""
    tensors: tuple[str, ...]
    """Its tensors."""
    bits: float
    """Bits per weight that the group had."""
    error: float = Field(ge=0)
    """The cost table's error of that, summed over the group."""
    kl: float
    """Mean KL divergence to the reference, in nats per token."""
    kl_error: float
    """Its standard error."""

    @property
    def factor(self) -> float:
        """KL divergence per error."""
        return max(self.kl, _SMALLEST_KL) / self.error if self.error else 0.0


class Sensitivities(Contract):
    """The content of a sensitivity file."""

    source_sha256: str
    """Of the full-precision file."""
    importance_sha256: str | None
    """Of the importance matrix; None where there was none."""
    reference_sha256: str
    """Of the reference that was measured against."""
    perturbations: tuple[Perturbation, ...] = ()
    """One per group."""

    @property
    def factors(self) -> dict[str, float]:
        """For each tensor, KL divergence per error."""
        return {name: one.factor for one in self.perturbations for name in one.tensors}

    @property
    def correlation(self) -> float:
        """Pearson correlation of log error and log KL over the groups: what the cost table knows without measuring."""
        pairs = [(math.log(p.error), math.log(max(p.kl, _SMALLEST_KL))) for p in self.perturbations if p.error > 0]
        return correlation(pairs)


def correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson correlation; NaN for fewer than three pairs, or where one side does not vary."""
    if len(pairs) < 3:
        return math.nan
    x, y = np.array(pairs, dtype=np.float64).T
    if not x.std() or not y.std():
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def groups_of(tensors: Iterable[TensorCosts], most: int = MOST_GROUPS) -> list[Group]:
    """Groups for measuring: each tensor by itself where that is not too many, otherwise bands of blocks of one kind.

    Args:
        tensors: of a cost table.
        most: groups at most, unless there are more kinds of tensors than that.
    """
    by_kind: dict[str, list[TensorCosts]] = defaultdict(list)
    for tensor in tensors:
        by_kind[tensor.kind].append(tensor)
    total = sum(map(len, by_kind.values()))
    single = sum(len(found) == 1 for found in by_kind.values())
    kinds = len(by_kind) - single
    bands = total if total <= most else max(1, (most - single) // max(1, kinds))
    groups = []
    for kind, found in by_kind.items():
        count = min(bands, len(found))
        for i in range(count):
            part = found[i * len(found) // count : (i + 1) * len(found) // count]
            groups.append(Group(_name(kind, part), tuple(tensor.name for tensor in part)))
    return groups


def measure_sensitivities(
    source: Path,
    table: CostTable,
    reference: Reference,
    importance: Importances | None,
    *,
    bits: float,
    scratch: Path,
    store: Path | None = None,
    most: int = MOST_GROUPS,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivities:
    """Perturb one group at a time, and measure.

    Args:
        source: the full-precision GGUF file.
        table: its costs.
        reference: the source's own answers, on text that the figures are not reported on.
        importance: as it was for the table.
        bits: bits per weight that a perturbed group has, about: near those that are wanted in the end.
        scratch: the folder of the copy, with room for it.
        store: a JSON file that keeps what is known; what is there of the same source is not measured again.
        most: as for `groups_of`.
        threads: to encode and compute with.
        progress: told the number of groups done, and of all.

    Raises:
        QuantizeError: native code failed, or the disk is full.
        ModelFileError: the source is not a usable GGUF.
    """
    groups = groups_of(table.tensors, most)
    tensors = {tensor.name: tensor for tensor in table.tensors}
    found = _known(store, table, reference)
    known = {(p.tensors, p.bits): p for p in found.perturbations}
    done: list[Perturbation] = []
    with PerturbedCopy(source, scratch / "perturbed.gguf", importance) as copy:
        for number, group in enumerate(groups, 1):
            chosen = {name: _nearest(tensors[name], bits) for name in group.tensors}
            one = known.get((group.tensors, _bits_of(chosen, tensors)))
            if one is None:
                copy.perturb(((name, type_named(choice.type)) for name, choice in chosen.items()), threads)
                divergence = measure(copy.path, reference, threads=threads)
                one = Perturbation(
                    group=group.name,
                    tensors=group.tensors,
                    bits=_bits_of(chosen, tensors),
                    error=sum(choice.error for choice in chosen.values()),
                    kl=divergence.mean_kl,
                    kl_error=divergence.mean_kl_error,
                )
            done.append(one)
            found = found.model_copy(update={"perturbations": tuple(done)})
            _keep(store, found)
            if progress:
                progress(number, len(groups))
    return found


def predicted_kl(table: CostTable, types: Mapping[str, str], factors: Mapping[str, float]) -> float:
    """Mean KL divergence that a choice of types is expected to have."""
    total = 0.0
    for tensor in table.tensors:
        choice = tensor.choice(types[tensor.name])
        if choice is not None:
            total += factors[tensor.name] * choice.error
    return total


def _name(kind: str, tensors: Sequence[TensorCosts]) -> str:
    blocks = [tensor.block for tensor in tensors if tensor.block is not None]
    if not blocks:
        return kind
    return f"{kind} {blocks[0]}" if len(blocks) == 1 else f"{kind} {blocks[0]}-{blocks[-1]}"


def _nearest(tensor: TensorCosts, bits: float) -> Choice:
    """The type nearest to so many bits per weight, and of several the better one."""
    elements = math.prod(tensor.shape)
    return min(tensor.choices, key=lambda c: (round(abs(8 * c.bytes / elements - bits), 3), c.error))


def _bits_of(chosen: Mapping[str, Choice], tensors: Mapping[str, TensorCosts]) -> float:
    elements = sum(math.prod(tensors[name].shape) for name in chosen)
    return round(8 * sum(choice.bytes for choice in chosen.values()) / elements, 4)


def _known(store: Path | None, table: CostTable, reference: Reference) -> Sensitivities:
    fresh = Sensitivities(
        source_sha256=table.source_sha256,
        importance_sha256=table.importance_sha256,
        reference_sha256=reference.info.sha256,
    )
    if store is None or not store.exists():
        return fresh
    try:
        stored = Sensitivities.model_validate_json(store.read_bytes())
    except (OSError, ValidationError) as error:
        raise QuantizeError(f"{store} is no sensitivity file of this version", "remove it") from error
    return stored if stored.model_copy(update={"perturbations": ()}) == fresh else fresh


def _keep(store: Path | None, found: Sensitivities) -> None:
    if store is None:
        return
    try:
        write_whole(store, found.model_dump_json(indent=1).encode())
    except OSError as error:
        raise QuantizeError(f"cannot write {store}: {error.strerror}", "free some disk space") from error
