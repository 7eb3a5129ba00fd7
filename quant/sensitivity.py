"""What each tensor's error does to the loss: measured, by perturbing one group of tensors at a time.

The cost table's errors are comparable within a tensor. Between tensors they are not: an error in one place does more
harm than in another. Two KL divergences measured per group, one at few and one at more bits, and a third for the groups
that matter most, give a law for each group: KL(E) between measured points is a * E^b, E the sum of the group's errors.
So there is a prediction for every type of every tensor; over tensors predictions add up. That is HAWQ-V3's second-order
view (where b is 1 and a the Hessian's average trace) with measured numbers in the place of the Hessian.
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
from leafwise.quant.error_law import SMALLEST_KL, Law, law_through
from leafwise.quant.errors import QuantizeError
from leafwise.quant.measure import measure
from leafwise.quant.perturbation import PerturbedCopy
from leafwise.quant.reference import Reference
from leafwise.quant.tensor_types import type_named
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import write_whole

MOST_GROUPS = 48
"""Groups that are measured unless the caller wants more or fewer."""
PERTURBED_BITS = (3.4, 4.5)
"""Bits per weight that a perturbed group has, about."""
FINE_BITS = 6.6
"""What the groups have beside that which bring most of the loss."""
_WEIGHTY = 0.05  # share of the loss


class Group(NamedTuple):
    """Tensors that are perturbed together and get one law."""

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


class Sensitivities(Contract):
    """The content of a sensitivity file."""

    source_sha256: str
    """Of the full-precision file."""
    importance_sha256: str | None
    """Of the importance matrix; None where there was none."""
    reference_sha256: str
    """Of the reference that was measured against."""
    perturbations: tuple[Perturbation, ...] = ()
    """One per group and number of bits."""

    def calibrated(self, table: CostTable) -> CostTable:
        """The table with each choice's error replaced by the KL divergence that it is expected to bring.

        Raises:
            QuantizeError: the table has a tensor that was not measured.
        """
        laws = {name: law for law in self._laws(table) for name in law.shares}
        if missing := [tensor.name for tensor in table.tensors if tensor.name not in laws]:
            raise QuantizeError(f"the effect of {missing[0]} was not measured", "measure again")
        tensors = tuple(_calibrated(tensor, laws[tensor.name]) for tensor in table.tensors)
        return table.model_copy(update={"tensors": tensors})

    def _laws(self, table: CostTable) -> list[Law]:
        measured: dict[tuple[str, ...], list[Perturbation]] = defaultdict(list)
        for one in self.perturbations:
            measured[one.tensors].append(one)
        energies = {tensor.name: tensor.energy for tensor in table.tensors}
        return [
            law_through([(p.error, p.kl) for p in points], {name: energies[name] for name in names})
            for names, points in measured.items()
        ]

    @property
    def correlation(self) -> float:
        """Pearson correlation of log error and log KL over the groups: what the cost table knows without measuring."""
        pairs = [(math.log(p.error), math.log(max(p.kl, SMALLEST_KL))) for p in self.perturbations if p.error > 0]
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
    run = _Run(table, reference, store, threads)
    tell = progress or (lambda done, total: None)
    total = len(groups) * len(PERTURBED_BITS)
    with PerturbedCopy(source, scratch / "perturbed.gguf", importance) as copy:
        for bits in PERTURBED_BITS:
            for group in groups:
                run.measure(copy, group, bits)
                tell(len(run.done), total)
        weighty = run.weighty(groups)
        for number, group in enumerate(weighty, 1):
            run.measure(copy, group, FINE_BITS)
            tell(total + number, total + len(weighty))
    return run.found()


class _Run:
    """One round of measurements, with what an earlier one left."""

    def __init__(self, table: CostTable, reference: Reference, store: Path | None, threads: int) -> None:
        self._tensors = {tensor.name: tensor for tensor in table.tensors}
        self._reference, self._store, self._threads = reference, store, threads
        self._base = _known(store, table, reference)
        self._known = {(p.tensors, p.bits): p for p in self._base.perturbations}
        self.done: list[tuple[tuple[str, ...], float]] = []

    def measure(self, copy: PerturbedCopy, group: Group, bits: float) -> None:
        """Measure a group with types that have about so many bits, unless that is known."""
        chosen = {name: _nearest(self._tensors[name], bits) for name in group.tensors}
        key = (group.tensors, _bits_of(chosen, self._tensors))
        if key not in self._known:
            copy.perturb(((name, type_named(choice.type)) for name, choice in chosen.items()), self._threads)
            divergence = measure(copy.path, self._reference, threads=self._threads)
            self._known[key] = Perturbation(
                group=group.name,
                tensors=group.tensors,
                bits=key[1],
                error=sum(choice.error for choice in chosen.values()),
                kl=divergence.mean_kl,
                kl_error=divergence.mean_kl_error,
            )
            _keep(self._store, self._base.model_copy(update={"perturbations": tuple(self._known.values())}))
        self.done.append(key)

    def weighty(self, groups: Sequence[Group]) -> list[Group]:
        """The groups that bring most of the loss at the second number of bits: they will get more bits than that."""
        kls = {key[0]: self._known[key].kl for key in self.done}
        return [group for group in groups if kls[group.tensors] >= _WEIGHTY * sum(kls.values())]

    def found(self) -> Sensitivities:
        """What is known, each measurement once: a tensor may have but one type near two numbers of bits."""
        perturbations = tuple(self._known[key] for key in dict.fromkeys(self.done))
        return self._base.model_copy(update={"perturbations": perturbations})


def _calibrated(tensor: TensorCosts, law: Law) -> TensorCosts:
    choices = (c.model_copy(update={"error": law.of_tensor(tensor.name, c.error)}) for c in tensor.choices)
    return tensor.model_copy(update={"choices": tuple(choices)})


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
