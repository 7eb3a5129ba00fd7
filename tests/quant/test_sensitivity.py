"""What a perturbation changes, how tensors are grouped, and what is not measured twice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cost_tables import llama_8b
from tiny_files import write_tiny
from tiny_gguf import second_moments, weights, write_gguf

from leafwise.quant import sensitivity
from leafwise.quant.calibration import calibration_text
from leafwise.quant.contracts import CostTable
from leafwise.quant.costs import cost_table
from leafwise.quant.divergence import Divergence
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_tensors import TensorFile
from leafwise.quant.measure import make_reference, measure
from leafwise.quant.native_ggml import decode, encode
from leafwise.quant.perturbation import PerturbedCopy
from leafwise.quant.reference import Reference
from leafwise.quant.sensitivity import Perturbation, Sensitivities, correlation, groups_of, measure_sensitivities
from leafwise.quant.tensor_types import TYPES

QUERY, DOWN = "blk.1.attn_q.weight", "blk.0.ffn_down.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def values(path: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with TensorFile(path) as file:
        return {e.name: file.rows(e, 0, e.elements // e.shape[0]) for e in file.entries}


def test_only_what_is_perturbed_changes_and_it_is_restored(tiny: Path, tmp_path: Path) -> None:
    before = values(tiny)
    with PerturbedCopy(tiny, tmp_path / "copy.gguf", None) as copy:
        copy.perturb([(QUERY, TYPES["q3_k"])])
        found = values(copy.path)
        rows, columns = before[QUERY].shape
        expected = decode(encode(before[QUERY], TYPES["q3_k"]), TYPES["q3_k"], (columns, rows))
        assert np.array_equal(found[QUERY], expected.astype(np.float16).astype(np.float32))
        assert all(np.array_equal(found[name], before[name]) for name in before if name != QUERY)
        copy.perturb([(DOWN, TYPES["q8_0"])])
        found = values(copy.path)
        assert np.array_equal(found[QUERY], before[QUERY])
        assert not np.array_equal(found[DOWN], before[DOWN])
        with pytest.raises(QuantizeError, match=r"no tensor blk\.9"):
            copy.perturb([("blk.9", TYPES["q8_0"])])
    assert not (tmp_path / "copy.gguf").exists()


def test_experts_are_encoded_with_an_importance_each(tmp_path: Path) -> None:
    name, type_ = "blk.0.ffn_up_exps.weight", TYPES["q4_0"]
    experts = np.stack([weights(8, 256, seed) for seed in range(3)])
    path = write_gguf(tmp_path / "experts.gguf", {name: experts})
    given = [second_moments(256, seed) for seed in range(3)]
    with PerturbedCopy(path, tmp_path / "copy.gguf", {name: np.concatenate(given)}) as copy:
        copy.perturb([(name, type_)])
        found = values(copy.path)[name].reshape(3, 8, 256)
    for matrix, importance, perturbed in zip(experts, given, found, strict=True):
        expected = decode(encode(matrix.astype(np.float32), type_, importance), type_, (256, 8))
        assert np.array_equal(perturbed, expected.astype(np.float16).astype(np.float32))


def test_groups_are_tensors_or_bands_of_a_kind() -> None:
    tensors = llama_8b(blocks=8).tensors
    single = groups_of(tensors, len(tensors))
    assert len(single) == len(tensors)
    few = groups_of(tensors, 20)
    assert len(few) <= 20
    assert sorted(name for group in few for name in group.tensors) == sorted(t.name for t in tensors)
    kinds = {t.name: t.kind for t in tensors}
    assert all(len({kinds[name] for name in group.tensors}) == 1 for group in few)
    assert "ffn_down 0-3" in [group.name for group in few]


def test_correlation() -> None:
    assert correlation([(1, 2), (2, 4), (3, 6)]) == pytest.approx(1)
    assert math.isnan(correlation([(1, 2), (2, 4)]))
    assert math.isnan(correlation([(1, 2), (1, 3), (1, 4)]))


@pytest.fixture(scope="module")
def known(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CostTable, Reference]:
    folder = tmp_path_factory.mktemp("known")
    table = cost_table(tiny, types=("q8_0", "q4_k", "q3_k"), journal=folder)
    text = calibration_text("calibration", 4_000).text
    return table, make_reference(tiny, text, folder / "reference", chunks=2, context=64, threads=2)


def test_each_group_is_measured_at_two_numbers_of_bits_and_once(
    tiny: Path, known: tuple[CostTable, Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, reference = known
    seen: list[Divergence] = []

    def watched(model: Path, against: Reference, **options: int) -> Divergence:
        seen.append(measure(model, against, threads=options["threads"]))
        return seen[-1]

    monkeypatch.setattr(sensitivity, "measure", watched)

    def run() -> Sensitivities:
        store = tmp_path / "store.json"
        return measure_sensitivities(tiny, table, reference, None, scratch=tmp_path, store=store, most=9, threads=2)

    found = run()
    count = len(seen)
    assert len(found.perturbations) == count
    types = {3.4375: "q3_k", 4.5: "q4_k", 8.5: "q8_0"}
    assert Counter(one.bits for one in found.perturbations) == {3.4375: 9, 4.5: 9, 8.5: count - 18}
    assert count > 18, "what matters most is measured with more bits too"
    for one, divergence in zip(found.perturbations, seen, strict=True):
        chosen = [t.choice(types[one.bits]) for t in table.tensors if t.name in one.tensors]
        assert one.error == pytest.approx(sum(choice.error for choice in chosen if choice))
        assert one.kl == divergence.mean_kl > 0
    assert run() == found
    assert len(seen) == count, "what is in the store is not measured again"
    for before, after in zip(table.tensors, found.calibrated(table).tensors, strict=True):
        old, new = [c.error for c in before.choices], [c.error for c in after.choices]
        assert sorted(range(3), key=old.__getitem__) == sorted(range(3), key=new.__getitem__)
        assert sum(new) < 1, "KL divergence is not in the units of squared outputs"


def by_hand(table: CostTable, law: Callable[[float], float]) -> Sensitivities:
    """As if every block's tensor had been measured by itself, and had this law."""
    points = [
        Perturbation(group=t.name, tensors=(t.name,), bits=0.0, error=c.error, kl=law(c.error), kl_error=0.0)
        for t in table.tensors
        for c in t.choices
        if c.type in ("q3_k", "q4_k")
    ]
    return Sensitivities(
        source_sha256=table.source_sha256, importance_sha256=None, reference_sha256="", perturbations=tuple(points)
    )


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.4])
def test_a_power_law_is_found(exponent: float) -> None:
    table = llama_8b(blocks=1)
    calibrated = by_hand(table, lambda error: 1e-9 * error**exponent).calibrated(table)
    for before, after in zip(table.tensors, calibrated.tensors, strict=True):
        for old, new in zip(before.choices, after.choices, strict=True):
            assert new.error == pytest.approx(1e-9 * old.error**exponent)


def test_noise_makes_no_steep_law() -> None:
    table = llama_8b(blocks=1)
    calibrated = by_hand(table, lambda error: 1e-30 * error**4).calibrated(table)
    for before, after in zip(table.tensors, calibrated.tensors, strict=True):
        (low, high), (small, large) = (
            [c.error for c in t.choices if c.type in ("q8_0", "q6_k")][::-1] for t in (before, after)
        )
        assert large / small <= (high / low) ** 1.5 * 1.001


def test_a_tensor_of_a_group_gets_its_share() -> None:
    table = llama_8b(blocks=2)
    first, second = table.tensors[1], table.tensors[8]
    assert (first.kind, second.kind) == ("attn_q", "attn_q")
    found = by_hand(table, lambda error: error)
    rest = tuple(p for p in found.perturbations if p.tensors[0] not in (first.name, second.name))
    errors = [choice.error for t in (first, second) if (choice := t.choice("q3_k"))]
    both = Perturbation(
        group="both", tensors=(first.name, second.name), bits=3.4, error=sum(errors), kl=0.5, kl_error=0.0
    )
    calibrated = found.model_copy(update={"perturbations": (*rest, both)}).calibrated(table)
    losses = [c.error for t in calibrated.tensors for c in t.choices if t.name in both.tensors and c.type == "q3_k"]
    assert losses == pytest.approx([0.5 * error / sum(errors) for error in errors])


def test_a_tensor_that_was_not_measured() -> None:
    table = llama_8b(blocks=1)
    found = by_hand(table, lambda error: error)
    with pytest.raises(QuantizeError, match="was not measured"):
        found.model_copy(update={"perturbations": found.perturbations[2:]}).calibrated(table)


def test_a_store_of_something_else_is_refused(tiny: Path, known: tuple[CostTable, Reference], tmp_path: Path) -> None:
    table, reference = known
    store = tmp_path / "store.json"
    store.write_text("{}")
    with pytest.raises(QuantizeError, match="no sensitivity file"):
        measure_sensitivities(tiny, table, reference, None, scratch=tmp_path, store=store)
