"""A model's logits, computed in a process of its own: `python -m leafwise.quant.native_logits`.

`leafwise.quant.logits` is the other end. Standard input: a line of JSON (`Job`), then the text in UTF-8 or the tokens
as int32. Standard output: a line of JSON (`Hello`, or `Failure` and the end), then the tokens that are evaluated as
int32, shape (chunks, context), then the logits as float32, shape (chunks, scored, n_vocab), as they are computed.
A crash in native code, or a kill for want of memory, ends this process and not the user's.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from pathlib import Path
from typing import BinaryIO

import llama_cpp
import numpy as np

from leafwise.quant.errors import QuantizeError
from leafwise.quant.logits_wire import Failure, Hello, Job, scored_positions
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.llama import LlamaModel, LlamaOptions, library_version
from leafwise.runtime.llama_batch import Row

_BATCH = 512  # tokens of a step; several chunks in one, as sequences, took as long (at 128 tokens each)


def run(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Do the job that standard input asks for; 0 for success."""
    job = Job.model_validate_json(stdin.readline())
    data = stdin.read()
    try:
        model = _open(job)
        tokens = _tokens(job, data, model)
        stdout.write(_hello(model, len(tokens)).model_dump_json().encode() + b"\n")
        stdout.write(tokens.astype("<i4").tobytes())
        stdout.flush()
        for chunk in tokens:
            _evaluate(model, chunk, stdout)
        model.close()
    except LeafwiseError as error:
        report = Failure(error=type(error).__name__, message=error.message, hint=error.hint)
        stdout.write(b"\n" + report.model_dump_json().encode() + b"\n")  # a line of its own also after logits
        stdout.flush()
        return 1
    return 0


def _open(job: Job) -> LlamaModel:
    batch = min(_BATCH, job.context)
    options = LlamaOptions(
        context=job.context,
        n_batch=batch,
        n_outputs_max=min(batch, len(scored_positions(job.context))),
        threads=job.threads,
        kv_type=job.kv_type,
        flash_attention=job.kv_type != "f16",  # llama.cpp has no other way for quantized values
        safe=job.safe,
    )
    return LlamaModel(Path(job.model), options)


def _tokens(job: Job, data: bytes, model: LlamaModel) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """The chunks, shape (chunks, context); each begins with the BOS token where the model wants one."""
    if job.tokens:
        tokens = np.frombuffer(data, "<i4").astype(np.int32)
        if tokens.size and not (tokens.min() >= 0 and tokens.max() < model.n_vocab):
            raise QuantizeError("the tokens are not of this model's vocabulary", "measure a model of the same family")
    else:
        text = data.decode("utf-8", "replace")
        tokens = np.array(model.tokenize(text, add_special=True, parse_special=job.special_tokens), np.int32)
    chunks = min(len(tokens) // job.context, job.chunks or len(tokens))
    if chunks < 1:
        raise QuantizeError(
            f"the text has {len(tokens):,} tokens, and a chunk takes {job.context:,}",
            "give a longer text, or a smaller --context",
        )
    tokens = tokens[: chunks * job.context].reshape(chunks, job.context)
    if llama_cpp.llama_vocab_get_add_bos(model.vocab):
        tokens[:, 0] = llama_cpp.llama_vocab_bos(model.vocab)
    return tokens


def _hello(model: LlamaModel, chunks: int) -> Hello:
    digest = hashlib.sha256()
    for token in range(model.n_vocab):
        text: bytes = llama_cpp.llama_vocab_get_text(model.vocab, token) or b""
        digest.update(len(text).to_bytes(4, "little") + text)
    bos = llama_cpp.llama_vocab_bos(model.vocab) if llama_cpp.llama_vocab_get_add_bos(model.vocab) else -1
    digest.update(str(bos).encode())
    return Hello(n_vocab=model.n_vocab, vocabulary_sha256=digest.hexdigest(), chunks=chunks, library=library_version())


def _evaluate(model: LlamaModel, chunk: np.ndarray[tuple[int, ...], np.dtype[np.int32]], stdout: BinaryIO) -> None:
    """Write the logits at the scored positions of a chunk."""
    scored = scored_positions(len(chunk))
    model.clear()
    for begin in range(0, len(chunk) - 1, model.options.n_batch):  # what follows the last token is not asked
        end = min(begin + model.options.n_batch, len(chunk) - 1)
        model.decode([Row(int(chunk[at]), at, 0, at in scored) for at in range(begin, end)])
        count = sum(at in scored for at in range(begin, end))
        if count:
            pointer = llama_cpp.llama_get_logits(model.context)
            stdout.write(np.ctypeslib.as_array(pointer, shape=(count, model.n_vocab)).data.cast("B"))
    stdout.flush()


def main() -> int:
    """Run with the process's own streams, which native code must not write to."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "wb") as stdout:
        os.dup2(2, 1)
        return run(sys.stdin.buffer, stdout)


if __name__ == "__main__":
    sys.exit(main())
