"""What every tensor of a model costs in every type that it can have: bytes, error, and seconds on this machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from leafwise.quant.contracts import Choice, CostTable, Progress, TensorCosts
from leafwise.quant.cost_journal import CostJournal, JournalKey
from leafwise.quant.encoding_error import Errors, encoding_errors
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_tensors import TensorFile, model_sha256
from leafwise.quant.native_ggml import Floats, libraries_digest
from leafwise.quant.speeds import Shape, Speed, SpeedTable
from leafwise.quant.tensor_names import OUTPUT, TOKEN_EMBEDDING, block_of, kind_of, quantizable
from leafwise.quant.tensor_types import TensorType, bytes_of, encodable, fits, type_named
from leafwise.runtime.gguf_entries import TensorEntry
from leafwise.runtime.paths import cache_dir

Importances = Mapping[str, Floats]
"""E[x^2] of each multiplication's inputs, by the tensor's name: shape (row length,); of experts one after the other."""
DEFAULT_TYPES = (
    *("f16", "q8_0", "q6_k", "q5_1", "q5_k", "q5_0", "q4_1", "q4_k", "q4_0", "iq4_nl", "iq4_xs"),
    *("q3_k", "iq3_s", "iq3_xxs", "q2_k", "iq2_s", "iq2_xs", "iq2_xxs"),
)
"""What a quantized model is made of, and f16, which every row can have; bf16 and f32 on request."""


def cost_table(
    source: Path,
    importance: Importances | None = None,
    *,
    types: Sequence[str] = DEFAULT_TYPES,
    threads: int = 1,
    speeds: SpeedTable | None = None,
    source_sha256: str | None = None,
    importance_sha256: str | None = None,
    sample: float = 1.0,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> CostTable:
    """Encode every tensor in every type, and put together what that costs.

    The encoders get the importance by llama.cpp's rule, that of the tensor's own name. The error of a token_embd that
    is the output matrix too is weighted with that of `output.weight` where its own is missing.

    Args:
        source: the full-precision GGUF file; rows of it are in memory, not the whole.
        importance: see `Importances`; without one all inputs count the same.
        types: names; each tensor is tried in those that it can have.
        threads: to encode with.
        speeds: seconds; see `speeds.measure`. None leaves them out.
        source_sha256: the source's, if it is known; otherwise it is computed.
        importance_sha256: of the importance matrix's file, if there is one; otherwise of its content.
        sample: the part of each tensor's rows that is encoded, above 0, at most 1. A twentieth gave the errors of the
            embedded model's tensors in q4_0 within 2.3 % (root mean square; 10 % at worst).
        journal: folder where errors are kept for the next time; `cache_dir()/costs` by default.
        progress: told the number of elements encoded, over all types, and the number of all.

    Raises:
        UsageError: there is no such type.
        QuantizeError: the source has nothing to quantize, or its values or the importance are not usable.
        ModelFileError: the source is not a usable GGUF.
    """
    wanted = [type_named(name) for name in dict.fromkeys(types)]
    importance_sha256 = importance_sha256 or (digest_of(importance) if importance is not None else None)
    with TensorFile(source) as file:
        chosen = quantizable_entries(file)
        tied = is_tied(file)
        kept = CostJournal(
            journal or cache_dir() / "costs",
            JournalKey(source_sha256 or model_sha256(source), importance_sha256, libraries_digest(), sample),
        )
        pairs = {e.name: importances_of(e, importance, tied) for e in chosen}  # all are checked before the long work
        plans = {e.name: possible_types(e, wanted, given=e.name in (importance or {})) for e in chosen}
        report = _Report(sum(e.elements * len(plans[e.name]) for e in chosen), progress)
        tensors = []
        for entry in chosen:
            found = _errors(file, entry, plans[entry.name], pairs[entry.name], kept, threads, report)
            tensors.append(_costs(entry, plans[entry.name], found, speeds, tied))
        names = {entry.name for entry in chosen}
        others = [entry for entry in file.entries if entry.name not in names]
    return CostTable(
        source_sha256=kept.key.source_sha256,
        importance_sha256=importance_sha256,
        machine=speeds.machine if speeds else "",
        sample=sample,
        other_bytes=sum(entry.bytes for entry in others),
        other_parameters=sum(entry.elements for entry in others),
        tensors=tuple(tensors),
    )


def quantizable_entries(file: TensorFile) -> list[TensorEntry]:
    """The tensors that llama.cpp would quantize, in the order of the file.

    Raises:
        QuantizeError: there are none.
    """
    found = [entry for entry in file.entries if quantizable(entry.name, entry.shape)]
    if not found:
        raise QuantizeError(f"{file.path.name} has no tensor to quantize", "is it a language model?")
    return found


def is_tied(file: TensorFile) -> bool:
    """Whether the token embedding is the output matrix too: there is no other."""
    return all(entry.name != OUTPUT for entry in file.entries)


def possible_types(entry: TensorEntry, types: Sequence[TensorType], *, given: bool) -> list[TensorType]:
    """Those that its rows fit and that llama.cpp would encode it in, given its importance or not."""
    return [t for t in types if fits(t, entry.shape[0]) and encodable(t, entry.name, importance=given)]


def shapes_to_measure(source: Path, types: Sequence[str] = DEFAULT_TYPES) -> dict[Shape, list[str]]:
    """The distinct shapes of a model's multiplications, and the types that each can have: for `speeds.measure`.

    Raises:
        UsageError: there is no such type.
        QuantizeError: the source has nothing to quantize.
        ModelFileError: it is not a usable GGUF.
    """
    wanted = [type_named(name) for name in dict.fromkeys(types)]
    with TensorFile(source) as file:
        tied = is_tied(file)
        shapes = {
            Shape(entry.shape[0], entry.shape[1])
            for entry in quantizable_entries(file)
            if len(entry.shape) == 2 and (tied or entry.name != TOKEN_EMBEDDING)
        }
    return {shape: [t.name for t in wanted if fits(t, shape.columns)] for shape in sorted(shapes)}


def importances_of(
    entry: TensorEntry, importance: Importances | None, tied: bool
) -> tuple[Floats | None, Floats | None]:
    """What the encoder gets, and what the error is weighted with.

    Raises:
        QuantizeError: one is of another length than the rows.
    """
    own = (importance or {}).get(entry.name)
    weighting = own
    if own is None and tied and entry.name == TOKEN_EMBEDDING:
        weighting = (importance or {}).get(OUTPUT)
    for values in (own, weighting):
        if values is None:
            continue
        if values.shape != (entry.shape[0] * math.prod(entry.shape[2:]),):
            raise QuantizeError(
                f"the importance of {entry.name} has {values.size:,} values, its rows {entry.shape[0]:,}",
                "was the importance matrix made with this model?",
            )
    return own, weighting


def digest_of(importance: Importances) -> str:
    """SHA-256 of an importance matrix's content."""
    digest = hashlib.sha256()
    for name in sorted(importance):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(importance[name], np.float32).tobytes())
    return digest.hexdigest()


class _Report:
    """Adds up progress, tensor by tensor: of a sampled one the rest is caught up with at its end."""

    def __init__(self, total: int, tell: Progress | None) -> None:
        self._done, self._total, self._tell = 0, total, tell
        self._settled = 0

    def advance(self, elements: int) -> None:
        self._done += elements
        if self._tell and elements:
            self._tell(self._done, self._total)

    def settle(self, elements: int) -> None:
        """So many more are done with, whatever part of them was encoded."""
        self._settled += elements
        self.advance(self._settled - self._done)


def _errors(
    file: TensorFile,
    entry: TensorEntry,
    types: Sequence[TensorType],
    importances: tuple[Floats | None, Floats | None],
    kept: CostJournal,
    threads: int,
    report: _Report,
) -> Errors:
    """A tensor's errors in these types: those that are known already, and the others computed and kept."""
    known = kept.known(entry.name) or Errors(0, {})
    missing = [t for t in types if t.name not in known.errors]
    report.settle(entry.elements * (len(types) - len(missing)))
    if not missing and known.errors:
        return known
    own, weighting = importances
    found = encoding_errors(
        file,
        entry,
        missing,
        encoding=own,
        weighting=weighting,
        threads=threads,
        sample=kept.key.sample,
        progress=report.advance,
    )
    report.settle(entry.elements * len(missing))
    return kept.add(entry.name, found)


def _costs(
    entry: TensorEntry, types: Sequence[TensorType], errors: Errors, speeds: SpeedTable | None, tied: bool
) -> TensorCosts:
    return TensorCosts(
        name=entry.name,
        kind=kind_of(entry.name),
        block=block_of(entry.name),
        shape=entry.shape,
        energy=errors.energy,
        choices=tuple(
            Choice(
                type=t.name,
                bytes=bytes_of(t, entry.shape),
                error=errors.errors[t.name],
                **_seconds(entry, t, speeds, tied),
            )
            for t in types
        ),
    )


def _seconds(entry: TensorEntry, type_: TensorType, speeds: SpeedTable | None, tied: bool) -> dict[str, float]:
    """What a type takes of the time of 512 tokens of a prompt, of one token, and of one token for 16 sequences."""
    if speeds is None:
        return {}
    if entry.name == TOKEN_EMBEDDING and not tied:  # rows are looked up
        return {"prefill_seconds": 0.0, "decode_seconds": 0.0, "batch_seconds": 0.0}
    speed: Speed | None = speeds.find(type_.name, Shape(*entry.shape[:2])) if len(entry.shape) == 2 else None
    if speed is None:
        return {}
    # of a prompt only the last token's logits are wanted
    last_only = entry.name in (OUTPUT, TOKEN_EMBEDDING)
    return {
        "prefill_seconds": speed.decode_seconds if last_only else speed.prefill_seconds,
        "decode_seconds": speed.decode_seconds,
        "batch_seconds": speed.batch_seconds,
    }
