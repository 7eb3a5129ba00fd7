"""Quality per bit: our allocations beside llama.cpp's mixes of the same size: one file, one importance matrix.

All are measured against the full-precision file on held-out text, which neither the importance matrix nor the
sensitivities have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from leafwise.quant.calibration import CalibrationText
from leafwise.quant.divergence import Divergence
from leafwise.quant.evidence import Effort, Evidence, Tell, gather_evidence, importances
from leafwise.quant.making import HELD_OUT_CHUNKS, held_out_reference, held_out_text
from leafwise.quant.measure import measure
from leafwise.quant.mixes import MIXES
from leafwise.quant.planning import Ask, plan
from leafwise.quant.quantize import quantize
from leafwise.quant.reference import Reference
from leafwise.runtime.contracts import Contract
from leafwise.runtime.gguf_header import read_header


class Arm(Contract):
    """A file that was made, and how far it is from its source."""

    name: str
    """A mix's name, `pure` before it where every tensor has its type; `ours` for an allocation."""
    like: str
    """Whose size or how many bits it was to have; a mix's own name for a mix."""
    weight_bytes: int
    """Of all tensors."""
    bits_per_weight: float
    """Over all tensors."""
    predicted_kl: float | None
    """What the allocation expected."""
    divergence: Divergence
    """What was measured."""


class Comparison(Contract):
    """What `leafwise bench quant` measured."""

    source: str
    """Name of the full-precision file."""
    calibration_sha256: str
    """Of the text that was calibrated with."""
    held_out_sha256: str
    """Of the text that was measured on."""
    correlation: float
    """Of log error and log KL divergence over the perturbed groups: what the errors know without measuring."""
    arms: tuple[Arm, ...] = ()
    """In the order in which they were made."""

    def pair(self, like: str) -> tuple[Arm, Arm] | None:
        """A mix and the allocation of its size."""
        found = {arm.name == "ours": arm for arm in self.arms if arm.like == like}
        return (found[False], found[True]) if len(found) == 2 else None


def compare(
    source: Path,
    mixes: Sequence[str],
    bits: Sequence[float],
    *,
    effort: Effort,
    calibration: CalibrationText | None = None,
    held_out: CalibrationText | None = None,
    chunks: int = HELD_OUT_CHUNKS,
    threads: int = 2,
    tell: Tell = lambda what, done, total: None,
) -> Comparison:
    """Make each mix and an allocation of its size, and allocations of given bits per weight, and measure all.

    Args:
        source: the full-precision GGUF file.
        mixes: names of `quant.MIXES`; `pure-NAME` gives every tensor the mix's own type.
        bits: bits per weight of further allocations.
        effort: how much is measured before types are chosen.
        calibration: text for that; by default the one that `leafwise quantize` takes.
        held_out: text to measure on; by default `calibration_text("heldout")`.
        chunks: pieces of it.
        threads: to compute with.
        tell: told of progress.

    Raises:
        LeafwiseError: something cannot be made or measured.
    """
    held_out = held_out or held_out_text(source, chunks)
    with TemporaryDirectory(prefix="leafwise-quant-") as name:
        folder = Path(name)
        reference = held_out_reference(source, held_out, folder, chunks=chunks, threads=threads, tell=tell)
        bench = _Bench(source, folder, reference, effort, calibration, threads, tell)
        for mix in mixes:
            bench.mix(mix)
        for value in bits:
            bench.ours(Ask(bits_per_weight=value), f"{value:g} bits")
    return Comparison(
        source=source.name,
        calibration_sha256=bench.calibration_sha256,
        held_out_sha256=held_out.sha256,
        correlation=bench.correlation,
        arms=tuple(bench.arms),
    )


class _Bench:
    """Makes and measures one file after the other."""

    def __init__(
        self,
        source: Path,
        folder: Path,
        reference: Reference,
        effort: Effort,
        calibration: CalibrationText | None,
        threads: int,
        tell: Tell,
    ) -> None:
        self._source, self._folder, self._reference = source, folder, reference
        self._effort, self._text, self._threads, self._tell = effort, calibration, threads, tell
        self.arms: list[Arm] = []
        self.calibration_sha256 = ""
        self.correlation = float("nan")

    def mix(self, name: str) -> None:
        """A mix with the importance matrix, and an allocation of its size."""
        evidence = self._evidence(4.5, self._effort.model_copy(update={"groups": 0}))
        target = self._folder / "mix.gguf"
        quantize(
            self._source,
            target,
            MIXES[name.removeprefix("pure-")],
            importance=importances(evidence.matrix),
            pure=name.startswith("pure-"),
            replace=True,
            threads=self._threads,
        )
        made = self._measured(name, name, target, None)
        self.ours(Ask(bits_per_weight=made.bits_per_weight), name)

    def ours(self, ask: Ask, like: str) -> None:
        """An allocation."""
        evidence = self._evidence(ask.bits(read_header(self._source)), self._effort)
        self.correlation = evidence.sensitivities.correlation if evidence.sensitivities else self.correlation
        recipe = plan(evidence, ask)
        target = self._folder / "ours.gguf"
        quantize(
            self._source,
            target,
            recipe,
            importance=importances(evidence.matrix),
            replace=True,
            threads=self._threads,
        )
        self._measured("ours", like, target, recipe.predicted.get("mean_kl"))

    def _evidence(self, bits: float, effort: Effort) -> Evidence:
        found = gather_evidence(
            self._source, effort, bits=bits, text=self._text, threads=self._threads, tell=self._tell
        )
        self.calibration_sha256 = found.matrix.text_sha256 if found.matrix else ""
        return found

    def _measured(self, name: str, like: str, target: Path, predicted: float | None) -> Arm:
        header = read_header(target)
        divergence = measure(
            target,
            self._reference,
            threads=self._threads,
            progress=partial(self._tell, f"{name} ({like}) on held-out text"),
        )
        arm = Arm(
            name=name,
            like=like,
            weight_bytes=header.weight_bytes,
            bits_per_weight=header.bits_per_weight,
            predicted_kl=predicted,
            divergence=divergence,
        )
        self.arms.append(arm)
        return arm
