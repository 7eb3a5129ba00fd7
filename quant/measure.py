"""Measuring models on a text: perplexity, and the divergence from a reference that was stored before."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leafwise.quant.compact import Compact, compress, concatenate
from leafwise.quant.contracts import Progress
from leafwise.quant.divergence import (
    Divergence,
    Perplexity,
    Scores,
    aggregate,
    exact_kl,
    negative_log_likelihood,
    perplexity_of,
    score,
)
from leafwise.quant.divergence import concatenate as concatenate_scores
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_tensors import model_sha256
from leafwise.quant.logits import LogitsProcess
from leafwise.quant.reference import Reference, ReferenceInfo, StorageCheck, load_reference, save_reference
from leafwise.runtime.errors import EngineCrashedError
from leafwise.runtime.gguf_contents import TOKENS, read_contents
from leafwise.runtime.gguf_header import KVType

CONTEXT = 512
"""Tokens of a chunk, as in llama.cpp's perplexity tool and in most published figures."""
_CHECKED_CHUNKS = 2
_CHECKED_BYTES = 320 * 2**20  # of full logits that wait for the check


def make_reference(
    model: Path,
    text: str,
    target: Path,
    *,
    chunks: int | None = None,
    context: int = CONTEXT,
    special_tokens: bool = False,
    threads: int | None = None,
    check: Path | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> Reference:
    """Evaluate a model on a text and store what it says.

    How much the compact form loses is measured on the first two chunks and kept in the file.

    Args:
        model: the model to compare others with, best in full precision.
        text: cut into chunks of `context` tokens; the second half of each chunk is scored, and the rest of the text
            that fills no chunk is left out.
        target: the reference file.
        chunks: most chunks; None for all.
        context: tokens of a chunk.
        special_tokens: whether `<|im_start|>` and the like in the text are the tokens they name.
        threads: threads that compute; None for as many as there are cores.
        check: the model to measure the loss with, of the same vocabulary; None for the model itself with its KV cache
            in 4 bits.
        replace: let the target replace a file.
        progress: told the number of chunks done, and of all.

    Raises:
        ModelFileError: the model, or the one to check with, is no usable GGUF.
        QuantizeError: the text is shorter than a chunk, the target exists or cannot be written, the model to check with
            has other tokens, native code failed.
    """
    if target.exists():
        _refuse_target(model, target, replace=replace)
    if not target.parent.is_dir():
        raise QuantizeError(f"there is no directory {target.parent}", "make it first")
    if check is not None:
        _refuse_other_tokens(model, check)
    parts, full, nll, kept_bytes = [], [], [], 0
    generator = np.random.default_rng(0)
    with LogitsProcess(
        model, text, context=context, chunks=chunks, threads=threads, special_tokens=special_tokens
    ) as process:
        tokens, hello = process.tokens, process.hello
        for block in process.blocks():
            parts.append(compress(block.logits, block.targets, generator))
            nll.append(negative_log_likelihood(block.logits, block.targets))
            kept_bytes += block.logits.nbytes
            if block.chunk < _CHECKED_CHUNKS and kept_bytes <= _CHECKED_BYTES:
                full.append(block.logits.copy())
            _tell(progress, block.chunk, len(tokens))
    distributions = concatenate(parts)
    info = ReferenceInfo(
        version=1,
        model=model.name,
        model_sha256=model_sha256(model),
        vocabulary_sha256=hello.vocabulary_sha256,
        n_vocab=hello.n_vocab,
        text_sha256=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        context=context,
        chunks=len(tokens),
        perplexity=perplexity_of(np.concatenate(nll)).perplexity,
        check=_check(model, check, tokens[:_CHECKED_CHUNKS], full, distributions, threads),
        leafwise=metadata.version("leafwise"),
        library=hello.library,
    )
    reference = Reference(info, tokens, distributions)
    return Reference(save_reference(reference, target), tokens, distributions)


def measure(
    model: Path,
    reference: Path | Reference,
    *,
    threads: int | None = None,
    kv_type: KVType = "f16",
    progress: Progress | None = None,
) -> Divergence:
    """Compare a model with a reference, on the reference's text.

    Args:
        model: the GGUF file.
        reference: a reference file, or its content.
        threads: threads that compute; None for as many as there are cores.
        kv_type: what the KV cache stores; other than f16, flash attention is used.
        progress: told the number of chunks done, and of all.

    Raises:
        ModelFileError: the model is no usable GGUF.
        QuantizeError: the reference is damaged or of another vocabulary, or native code failed.
    """
    if isinstance(reference, Path):
        reference = load_reference(reference)
    scores: list[Scores] = []
    with LogitsProcess(model, reference.tokens, threads=threads, kv_type=kv_type) as process:
        _refuse_another_vocabulary(process, model, reference.info)
        lengths = process.block_lengths()
        kept = reference.distributions.blocks(lengths)
        for block, distributions in zip(process.blocks(), kept, strict=True):
            scores.append(score(distributions, block.logits, block.targets))
            _tell(progress, block.chunk, len(reference.tokens))
    return aggregate(concatenate_scores(scores))


def perplexity(
    model: Path,
    text: str,
    *,
    chunks: int | None = None,
    context: int = CONTEXT,
    special_tokens: bool = False,
    threads: int | None = None,
    kv_type: KVType = "f16",
    progress: Progress | None = None,
) -> Perplexity:
    """How well a model predicts a text; for the arguments and errors see `make_reference` and `measure`."""
    nll = []
    with LogitsProcess(
        model, text, context=context, chunks=chunks, threads=threads, kv_type=kv_type, special_tokens=special_tokens
    ) as process:
        for block in process.blocks():
            nll.append(negative_log_likelihood(block.logits, block.targets))
            _tell(progress, block.chunk, process.hello.chunks)
    return perplexity_of(np.concatenate(nll))


def _check(
    model: Path,
    other: Path | None,
    tokens: NDArray[np.int32],
    full: list[NDArray[np.float32]],
    distributions: Compact,
    threads: int | None,
) -> StorageCheck | None:
    """Measure one divergence from the full logits and from the compact form."""
    exact, scores = [], []
    try:
        with LogitsProcess(other or model, tokens, threads=threads, kv_type="f16" if other else "q4_0") as process:
            kept = distributions.blocks([len(logits) for logits in full])
            for p_logits, block, compact in zip(full, process.blocks(), kept, strict=False):
                exact.append(exact_kl(p_logits, block.logits))
                scores.append(score(compact, block.logits, block.targets))
    except EngineCrashedError:
        if other:
            raise
        return None  # not every model can have its KV cache in 4 bits
    found = concatenate_scores(scores)
    return StorageCheck(
        against=other.name if other else "the same with its KV cache in q4_0",
        tokens=len(found.kl),
        exact_kl=float(np.concatenate(exact).mean()),
        stored_kl=float(found.kl.mean()),
        bound_kl=float(found.bound.mean()),
    )


def _refuse_target(model: Path, target: Path, *, replace: bool) -> None:
    if model.exists() and model.samefile(target):
        raise QuantizeError("input and output are the same file", "give the output another name")
    if not replace:
        raise QuantizeError(f"{target} exists already", "choose another name, or add --force to replace it")


def _refuse_other_tokens(model: Path, check: Path) -> None:
    """By their headers, before either of them computes anything."""
    if read_contents(model).array(TOKENS) != read_contents(check).array(TOKENS):
        raise QuantizeError(
            f"{check.name} has another vocabulary than {model.name}",
            "check with a file made from the same model",
        )


def _refuse_another_vocabulary(process: LogitsProcess, model: Path, info: ReferenceInfo) -> None:
    if process.hello.n_vocab != info.n_vocab or process.hello.vocabulary_sha256 != info.vocabulary_sha256:
        raise QuantizeError(
            f"{model.name} has another vocabulary than the reference's model",
            "measure files made from one model, or make a reference of this one's full precision",
        )


def _tell(progress: Progress | None, chunk: int, total: int) -> None:
    if progress:
        progress(chunk + 1, total)
