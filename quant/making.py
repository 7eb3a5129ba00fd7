"""The whole way from a full-precision file and a wish to a quantized file: evidence, recipe, quantizer, measurement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from leafwise.quant.calibration import CHARACTERS_PER_TOKEN, CalibrationText, calibration_text
from leafwise.quant.contracts import Recipe
from leafwise.quant.divergence import Divergence
from leafwise.quant.errors import QuantizeError
from leafwise.quant.evidence import Effort, Tell, gather_evidence, importances
from leafwise.quant.gguf_imatrix import read_imatrix
from leafwise.quant.importance import ImportanceMatrix
from leafwise.quant.measure import CONTEXT, make_reference, measure
from leafwise.quant.mixes import Mix
from leafwise.quant.planning import Ask, plan
from leafwise.quant.quantize import Quantized, check_input, quantize
from leafwise.quant.reference import Reference
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.paths import cache_dir

HELD_OUT_CHUNKS = 24
"""Pieces of held-out text that a made file is measured on."""


@dataclass(frozen=True)
class Made:
    """A file that was made."""

    header: Quantized
    """Its header, and what was noticed on the way."""
    recipe: Recipe | None
    """Its recipe, with what was measured; None for a named mix."""
    divergence: Divergence | None
    """How far it is from the source on held-out text; None where that was not asked for."""


def choose(
    source: Path,
    ask: Ask,
    effort: Effort,
    *,
    imatrix: Path | None = None,
    threads: int = 2,
    tell: Tell = lambda *_: None,
) -> tuple[Recipe, ImportanceMatrix | None]:
    """Choose a type for every tensor, within the limits of what is asked for.

    Args:
        source: the full-precision GGUF file.
        ask: the limits.
        effort: how much is measured before.
        imatrix: a file of an importance matrix to use.
        threads: to compute with.
        tell: told of progress.

    Returns:
        The recipe, and the importance matrix to quantize with.

    Raises:
        QuantizeError: it can't be done; the message says which limit, and by how much.
        ModelFileError: the source or the matrix's file is not usable.
    """
    header = read_header(source)
    check_input(header, source, requantize=False)  # all errors are measured against full precision
    bits = ask.bits(header)
    evidence = gather_evidence(source, effort, bits=bits, imatrix=imatrix, threads=threads, tell=tell)
    return plan(evidence, ask), evidence.matrix


def make(
    source: Path,
    target: Path,
    chosen: Mix | Recipe,
    *,
    matrix: ImportanceMatrix | None = None,
    threads: int = 2,
    requantize: bool = False,
    replace: bool = False,
    most_bytes: int | None = None,
    measured: bool = False,
    tell: Tell = lambda *_: None,
) -> Made:
    """Quantize, and measure what was made.

    Args:
        source: the full-precision GGUF file.
        target: the file to make.
        chosen: a named mix or a recipe.
        matrix: the importance matrix for the encoders.
        threads: to compute with.
        requantize: accept a source that is quantized already.
        replace: let the target replace a file.
        most_bytes: of the target; a larger one is not kept.
        measured: measure the KL divergence to the source, on held-out text.
        tell: told of progress.

    Raises:
        QuantizeError: the file cannot be made or measured.
        ModelFileError: the source is not a usable GGUF.
    """
    header = quantize(
        source,
        target,
        chosen,
        importance=importances(matrix),
        requantize=requantize,
        replace=replace,
        most_bytes=most_bytes,
        threads=threads,
        metadata={"importance_sha256": matrix.sha256, "calibration_sha256": matrix.text_sha256} if matrix else None,
        progress=partial(tell, "quantizing"),
    )
    divergence = held_out_divergence(source, target, threads=threads, tell=tell) if measured else None
    recipe = chosen if isinstance(chosen, Recipe) else None
    if recipe and divergence:
        figures = {"mean_kl": divergence.mean_kl, "top1": divergence.top1, "bytes": float(header.weight_bytes)}
        recipe = recipe.model_copy(update={"measured": figures})
    return Made(header, recipe, divergence)


def held_out_text(source: Path, chunks: int) -> CalibrationText:
    """Text for so many pieces that nothing is calibrated with, in the model's own form of chats.

    Raises:
        ModelFileError: the source is not a usable GGUF.
    """
    return calibration_text("heldout", chunks * CONTEXT * CHARACTERS_PER_TOKEN, read_header(source).chat_template)


def held_out_divergence(
    source: Path, target: Path, *, chunks: int = HELD_OUT_CHUNKS, threads: int = 2, tell: Tell = lambda *_: None
) -> Divergence:
    """How far a file is from its source on text that nothing was calibrated with.

    Raises:
        QuantizeError: one of them cannot be run.
    """
    with TemporaryDirectory(prefix="leafwise-reference-") as folder:
        text = held_out_text(source, chunks)
        reference = held_out_reference(source, text, Path(folder), chunks=chunks, threads=threads, tell=tell)
        return measure(target, reference, threads=threads, progress=partial(tell, "the new file on held-out text"))


def held_out_reference(
    source: Path, text: CalibrationText, folder: Path, *, chunks: int, threads: int, tell: Tell
) -> Reference:
    """What the source says on a held-out text; its file is left in the folder.

    Raises:
        QuantizeError: it cannot be run.
    """
    return make_reference(
        source,
        text.text,
        folder / "reference.safetensors",
        chunks=chunks,
        special_tokens=text.special_tokens,
        threads=threads,
        progress=partial(tell, "the source on held-out text"),
    )


def read_matrix(path: Path | None) -> ImportanceMatrix | None:
    """The importance matrix of a file, if there is one."""
    return read_imatrix(path) if path else None


def check_matrix(recipe: Recipe, matrix: ImportanceMatrix | None) -> None:
    """Check that an importance matrix is the one that a recipe was made with: with another the file is another.

    Raises:
        QuantizeError: it is not, or there is none.
    """
    wanted = recipe.importance_sha256
    if wanted is None or (matrix is not None and matrix.sha256 == wanted):
        return
    given = f"not with {matrix.sha256[:12]}" if matrix else "and none is given"
    raise QuantizeError(
        f"the recipe was made with the importance matrix of SHA-256 {wanted[:12]}, {given}",
        "give that one with --imatrix (those gathered for recipes are kept below "
        f"{cache_dir() / 'quant' / recipe.source_sha256[:16]}), or do without one: --no-imatrix",
    )
