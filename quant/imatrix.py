"""Gathers an importance matrix: runs text through a model, chunk by chunk, and can go on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from leafwise.quant.activations import ActivationRun, ChunkSums, Job
from leafwise.quant.calibration import CalibrationText
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_imatrix import read_imatrix, sealed, write_imatrix
from leafwise.quant.gguf_tensors import model_sha256, tensor_shapes
from leafwise.quant.importance import ImportanceMatrix, merge
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.opening import usable_cores

DEFAULT_CHUNKS = 100
"""Pieces of text that are run unless the caller wants more or fewer."""
_SAVE_EVERY = 8  # chunks
_SHORTEST, _LONGEST = 16, 131_072  # tokens of a chunk; the model's context where its file says one


def gather(
    model: Path,
    text: CalibrationText,
    *,
    chunks: int = DEFAULT_CHUNKS,
    context: int = 512,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    resume: Path | None = None,
    fresh: bool = False,
) -> ImportanceMatrix:
    """Run the beginning of a text through a model and add up what its weights are multiplied with.

    Args:
        model: a GGUF file, best in full precision.
        text: what to run, from `calibration_text` or `text_from_files`.
        chunks: most pieces to run; fewer where the text is shorter.
        context: tokens of each piece, each run on its own.
        threads: threads that compute; by default one per core.
        progress: told the number of chunks done, and of all.
        resume: a file to keep what is done in. Where it is there, work goes on after its chunks; it is written every
            few chunks and whenever this ends, whatever the reason, and is a usable importance matrix each time.
        fresh: replace what that file holds instead.

    Returns:
        The matrix; that of several runs with `resume` is the same as that of one, bit for bit.

    Raises:
        ModelFileError: the model or the file to resume from is not usable.
        QuantizeError: the text is too short, the file to resume from is of something else, llama.cpp failed.
    """
    header = read_header(model)
    if header.split_count > 1:
        raise QuantizeError(f"{model.name} is one of {header.split_count} files", "merge the model's parts first")
    longest = header.context_length or _LONGEST
    if chunks < 1 or not _SHORTEST <= context <= longest:
        raise QuantizeError(
            f"no importance from {chunks} chunks of {context} tokens",
            f"give at least one chunk, and from {_SHORTEST} to {longest:,} tokens",
        )
    state = _State(model_sha256(model), text, context, resume, fresh=fresh)
    if state.done < chunks:
        job = Job(
            model=str(model),
            context=context,
            first=state.done,
            last=chunks,
            threads=threads or usable_cores(),
            special_tokens=text.special_tokens,
            shapes=tensor_shapes(model),
        )
        with ActivationRun(job, text.text) as run:
            state.extend(run, progress)
    if state.matrix is None:
        raise QuantizeError(
            f"the text has fewer than {context} tokens", "give a longer one, or ask for a shorter --context"
        )
    return sealed(state.matrix)


class _State:
    """What was gathered so far, and the file that it is kept in."""

    def __init__(
        self, model_sha256: str, text: CalibrationText, context: int, file: Path | None, *, fresh: bool
    ) -> None:
        self._empty = ImportanceMatrix(
            sums={},
            counts={},
            chunks=0,
            chunk_size=context,
            datasets=(f"{text.description} (SHA-256 {text.sha256})",),
            model_sha256=model_sha256,
            text_sha256=text.sha256,
        )
        self._file, self._saved = file, 0
        self.matrix: ImportanceMatrix | None = None
        if file is not None and file.exists() and not fresh:
            self.matrix = read_imatrix(file)
            self._saved = self.matrix.chunks
            self._check(self.matrix, file)

    @property
    def done(self) -> int:
        return self.matrix.chunks if self.matrix else 0

    def _check(self, found: ImportanceMatrix, file: Path) -> None:
        for what in ("model_sha256", "text_sha256", "chunk_size"):
            here, there = getattr(found, what), getattr(self._empty, what)
            if here != there:
                name = what.replace("_", " ")
                raise QuantizeError(
                    f"{file.name} cannot be resumed: its {name} is {here or 'not known'}, not {there}",
                    "choose another name, or replace the file (--force)",
                )

    def extend(self, run: ActivationRun, progress: Callable[[int, int], None] | None) -> None:
        """Add chunk after chunk, and keep what is done whatever happens."""
        try:
            for chunk, total in run:
                self._add(chunk)
                if progress:
                    progress(self.done, total)
        finally:
            self._save()

    def _add(self, chunk: ChunkSums) -> None:
        one = replace(self._empty, chunks=1, sums=chunk.sums, counts=chunk.counts, key_maxima=chunk.key_maxima)
        # each chunk follows the others in one text, which a merge of any two does not know
        self.matrix = replace(merge(self.matrix, one), text_sha256=one.text_sha256) if self.matrix else one
        if self.done - self._saved >= _SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        if self._file is not None and self.matrix is not None and self.done > self._saved:
            write_imatrix(self.matrix, self._file)
            self._saved = self.done
