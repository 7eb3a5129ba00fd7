"""What is known of a model before types are chosen: importance, costs, speeds, sensitivities; kept between commands.

All of it is of the calibration text, never of the held-out text that figures are reported on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import Field

from leafwise.quant.calibration import CHARACTERS_PER_TOKEN, CalibrationText, calibration_text
from leafwise.quant.contracts import CostTable
from leafwise.quant.costs import DEFAULT_TYPES, Importances, cost_table, shapes_to_measure
from leafwise.quant.gguf_imatrix import read_imatrix
from leafwise.quant.gguf_tensors import model_sha256
from leafwise.quant.imatrix import gather
from leafwise.quant.importance import ImportanceMatrix
from leafwise.quant.measure import make_reference
from leafwise.quant.reference import Reference, load_reference
from leafwise.quant.scratch import scratch_folder
from leafwise.quant.sensitivity import MOST_GROUPS, PERTURBED_BITS, Sensitivities, measure_sensitivities
from leafwise.quant.speeds import SpeedTable
from leafwise.quant.speeds import measure as measure_speeds
from leafwise.quant.tensor_types import TYPES
from leafwise.runtime.contracts import Contract
from leafwise.runtime.gguf_header import GGUFHeader, read_header
from leafwise.runtime.paths import cache_dir

_BELOW = 1.5  # bits: types that have less than so much less than the mean are not worth the time of their encoders
_SAMPLED = 2e8  # weights: of larger models a sample of the rows is encoded
_LEAST_SAMPLE = 0.05  # its errors are off by 2 % or so
Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""
_HELD_BACK = 4  # the sensitivities' text is that far behind the importance matrix's, in lengths of the latter


class Effort(Contract):
    """How much is measured before types are chosen."""

    importance: bool = True
    """Whether an importance matrix is gathered where none is given."""
    chunks: int = Field(default=64, ge=1)
    """Pieces of text for the importance matrix."""
    context: int = Field(default=512, ge=16)
    """Tokens of a piece."""
    groups: int = Field(default=MOST_GROUPS, ge=0)
    """Groups of tensors whose effect on the loss is measured; 0: all errors count alike, which is much worse."""
    reference_chunks: int = Field(default=4, ge=1)
    """Pieces of text that it is measured on."""
    speeds: bool = False
    """Whether the types' speeds on this machine are measured."""
    types: tuple[str, ...] = ()
    """Types that tensors may have; by default those that make sense for the bits that are wanted."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a model."""

    header: GGUFHeader
    """Of the full-precision file."""
    table: CostTable
    """What every tensor costs in every type."""
    matrix: ImportanceMatrix | None
    """The importance matrix."""
    sensitivities: Sensitivities | None
    """What each tensor's error does to the loss; None where that was not asked for."""

    @property
    def losses(self) -> CostTable:
        """The table with errors as mean KL divergence where sensitivities are known; as it is where they are not."""
        return self.sensitivities.calibrated(self.table) if self.sensitivities else self.table


def importances(matrix: ImportanceMatrix | None) -> Importances | None:
    """E[x_j^2] for each tensor's name; None without a matrix."""
    return None if matrix is None else {name: matrix.mean(name) for name in matrix.sums}


def gather_evidence(
    source: Path,
    effort: Effort,
    *,
    bits: float,
    imatrix: Path | None = None,
    text: CalibrationText | None = None,
    threads: int = 2,
    tell: Tell = lambda what, done, total: None,
) -> Evidence:
    """Find out what is not known yet. What is found is kept below `cache_dir()`, and interrupted work is resumed.

    Args:
        source: the full-precision GGUF file.
        effort: how much to measure.
        bits: bits per weight that are wanted, about: they decide which types are looked at.
        imatrix: a file of an importance matrix to use; by default one is gathered, if the effort says so.
        text: to calibrate with; by default code and instructions made from Python's standard library.
        threads: to compute with.
        tell: told of progress.

    Raises:
        ModelFileError: the source or the matrix's file is not usable.
        QuantizeError: something cannot be measured.
    """
    header = read_header(source)
    sha256 = _hash(source, tell)
    folder = cache_dir() / "quant" / sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    matrix = _matrix(source, effort, folder, imatrix, text or _text(header, effort.chunks, effort), threads, tell)
    importance = importances(matrix)
    types = effort.types or types_for(bits)
    speeds = _speeds(source, types, threads, tell) if effort.speeds else None
    table = cost_table(
        source,
        importance,
        types=types,
        sample=min(1.0, max(_LEAST_SAMPLE, _SAMPLED / header.parameters)),
        threads=threads,
        speeds=speeds,
        source_sha256=sha256,
        importance_sha256=matrix.sha256 if matrix else None,
        progress=partial(tell, "errors of all types"),
    )
    sensitivities = None
    if effort.groups:
        behind = text or _text(header, effort.chunks * _HELD_BACK + effort.reference_chunks, effort)
        reference = _reference(source, effort, folder, behind, threads, tell)
        with scratch_folder(folder.parent) as scratch:  # of all models: what is left of any goes
            sensitivities = measure_sensitivities(
                source,
                table,
                reference,
                importance,
                scratch=scratch,
                store=folder / f"sensitivities-{effort.groups}-{reference.info.sha256[:8]}-{_tag(matrix)}.json",
                most=effort.groups,
                threads=threads,
                progress=partial(tell, "sensitivities"),
            )
    return Evidence(header=header, table=table, matrix=matrix, sensitivities=sensitivities)


def types_for(bits: float) -> tuple[str, ...]:
    """Types worth looking at for a mean of so many bits per weight, those of the perturbations among them."""
    least = min(bits - _BELOW, min(PERTURBED_BITS))
    return tuple(name for name in DEFAULT_TYPES if TYPES[name].bits >= least)


def _hash(source: Path, tell: Tell) -> str:
    tell("reading the file", 0, 1)
    digest = model_sha256(source)
    tell("reading the file", 1, 1)
    return digest


def _text(header: GGUFHeader, chunks: int, effort: Effort) -> CalibrationText:
    return calibration_text("calibration", chunks * effort.context * CHARACTERS_PER_TOKEN, header.chat_template)


def _matrix(
    source: Path,
    effort: Effort,
    folder: Path,
    imatrix: Path | None,
    text: CalibrationText,
    threads: int,
    tell: Tell,
) -> ImportanceMatrix | None:
    if imatrix is not None:
        return read_imatrix(imatrix)
    if not effort.importance:
        return None
    kept = folder / f"imatrix-{effort.chunks}x{effort.context}-{text.sha256[:12]}.gguf"
    return gather(
        source,
        text,
        chunks=effort.chunks,
        context=effort.context,
        threads=threads,
        resume=kept,
        progress=partial(tell, "importance matrix"),
    )


def _speeds(source: Path, types: Sequence[str], threads: int, tell: Tell) -> SpeedTable:
    return measure_speeds(
        shapes_to_measure(source, types),
        threads=threads,
        progress=partial(tell, "speeds of all types"),
    )


def _reference(
    source: Path, effort: Effort, folder: Path, text: CalibrationText, threads: int, tell: Tell
) -> Reference:
    """The source's own answers, on the end of the text: what the importance matrix has not seen."""
    length = effort.reference_chunks * effort.context * CHARACTERS_PER_TOKEN
    kept = folder / f"reference-{effort.reference_chunks}x{effort.context}-{text.sha256[:12]}.safetensors"
    if kept.exists():
        return load_reference(kept)
    return make_reference(
        source,
        text.text[-length:],
        kept,
        chunks=effort.reference_chunks,
        context=effort.context,
        special_tokens=text.special_tokens,
        threads=threads,
        progress=partial(tell, "reference"),
    )


def _tag(matrix: ImportanceMatrix | None) -> str:
    return matrix.sha256[:12] if matrix else "plain"
