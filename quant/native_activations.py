"""Runs text through a model and says what each weight was multiplied with.

A process of its own, so that a crash in native code ends this one and not the user's. A line of JSON (`Job`) and the
text come on standard input; frames go to standard output, each a u32 length, a JSON header of that length and
`floats` float32 numbers, little-endian:

- {"kind": "ready", "chunks": how many chunks the text has}
- {"kind": "chunk", "sums": [[tensor, columns, tokens]...], "keys": [[block, heads, pairs]...]}; the numbers are the
  sums of squares of each tensor's input columns, then the maxima of each block's key pairs
- {"kind": "error", "message": ..., "hint": ...}
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from leafwise.quant.activations import Job
from leafwise.quant.errors import QuantizeError
from leafwise.quant.native_collector import Collector
from leafwise.quant.native_graph import check_layout
from leafwise.runtime.errors import LeafwiseError

_MOST_ROWS = 512  # of one decode: more would only take more memory


class Runner:
    """A loaded model with a context of one chunk, watched by a collector.

    Raises:
        QuantizeError: llama.cpp refuses the file, has no memory for the context, or is not the one known here.
    """

    def __init__(self, job: Job) -> None:
        check_layout()
        self._words = llama_cpp.llama_log_callback(self._listen)
        self._last_words: list[str] = []
        llama_cpp.llama_log_set(self._words, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        parameters.use_extra_bufts = False  # no second copy of the weights, and no AMX that may not work
        self._model = llama_cpp.llama_model_load_from_file(job.model.encode(), parameters)
        if not self._model:
            self._fail("llama.cpp cannot load the model")
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.collector = Collector(job.shapes)
        self._rows = min(job.context, _MOST_ROWS)
        self._callback = llama_cpp.ggml_backend_sched_eval_callback(self.collector)
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx = job.context
        wanted.n_batch = wanted.n_ubatch = wanted.n_outputs_max = self._rows
        wanted.n_seq_max = 1
        wanted.n_threads = wanted.n_threads_batch = job.threads
        wanted.flash_attn_type = 0
        wanted.no_perf = True
        wanted.cb_eval = self._callback
        self._context = llama_cpp.llama_init_from_model(self._model, wanted)
        if not self._context:
            self._fail(f"llama.cpp could not make a context of {job.context} tokens")
        self._batch = llama_cpp.llama_batch_init(self._rows, 0, 1)

    def _listen(self, level: int, text: bytes, _: Any) -> None:
        if level >= 3:  # warnings and errors
            self._last_words = [*self._last_words[-2:], text.decode("utf-8", "replace").strip()]

    def _fail(self, problem: str) -> None:
        words = " | ".join(filter(None, self._last_words))
        raise QuantizeError(f"{problem}{': ' * bool(words)}{words}", "`leafwise models show` reads the file's header")

    def tokens(self, text: bytes, *, special: bool) -> NDArray[np.int32]:
        """The text's tokens, with the beginning-of-sequence token first where the model wants one."""
        count = -llama_cpp.llama_tokenize(self._vocabulary, text, len(text), None, 0, True, special)
        buffer = np.empty(max(count, 1), np.int32)
        pointer = ctypes.cast(buffer.ctypes.data, ctypes.POINTER(llama_cpp.llama_token))
        got = llama_cpp.llama_tokenize(self._vocabulary, text, len(text), pointer, len(buffer), True, special)
        if got < 0:
            self._fail("llama.cpp cannot cut the text into tokens")
        return buffer[:got]

    def run(self, chunk: NDArray[np.int32]) -> None:
        """Compute a chunk from an empty cache; the collector then has what it saw.

        As in llama.cpp's own tool the first token becomes the beginning of a sequence where the model wants that.

        Raises:
            QuantizeError: llama.cpp fails, or shows something that makes no sense.
        """
        chunk = chunk.copy()
        if llama_cpp.llama_vocab_get_add_bos(self._vocabulary):
            chunk[0] = llama_cpp.llama_vocab_bos(self._vocabulary)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        self.collector.begin_chunk()
        for start in range(0, len(chunk), self._rows):
            self.collector.begin_decode()
            self._fill(chunk[start : start + self._rows], start)
            status = llama_cpp.llama_decode(self._context, self._batch)
            if self.collector.error is not None:
                raise self.collector.error
            if status != 0:
                self._fail(f"llama.cpp failed to decode a batch (status {status})")
        wrong = [name for name, count in self.collector.counts.items() if count != len(chunk)]
        if wrong or not self.collector.sums:
            seen = f"{wrong[0]} with {self.collector.counts[wrong[0]]}" if wrong else "no tensor with any"
            raise QuantizeError(f"llama.cpp showed {seen} of {len(chunk)} tokens", "please report this")

    def _fill(self, tokens: NDArray[np.int32], start: int) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens.tolist()):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, start + i, 1, 0
            # all of them: the last block and the output are computed only for tokens that want logits
            batch.logits[i] = 1


def _frames(job: Job, text: bytes) -> Iterator[tuple[dict[str, Any], list[NDArray[np.float32]]]]:
    runner = Runner(job)
    tokens = runner.tokens(text, special=job.special_tokens)
    chunks = len(tokens) // job.context
    yield {"kind": "ready", "chunks": chunks}, []
    for number in range(job.first, min(job.last, chunks)):
        runner.run(tokens[number * job.context : (number + 1) * job.context])
        seen = runner.collector
        header = {
            "kind": "chunk",
            "sums": [(name, len(sums), seen.counts[name]) for name, sums in seen.sums.items()],
            "keys": [(block, *keys.shape) for block, keys in seen.keys.items()],
        }
        yield header, [*seen.sums.values(), *seen.keys.values()]


def _write(file: BinaryIO, header: dict[str, Any], arrays: list[NDArray[np.float32]]) -> None:
    text = json.dumps(header | {"floats": sum(array.size for array in arrays)}).encode()
    file.write(struct.pack("<I", len(text)) + text)
    for array in arrays:
        file.write(np.ascontiguousarray(array, "<f4").tobytes())
    file.flush()


def main() -> int:
    """Read the job, write the frames; 0 if all went well."""
    # the frames' channel is ours alone: what native code prints goes to standard error
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        line, _, text = sys.stdin.buffer.read().partition(b"\n")
        try:
            for header, arrays in _frames(Job.model_validate_json(line), text):
                _write(output, header, arrays)
        except LeafwiseError as error:
            _write(output, {"kind": "error", "message": error.message, "hint": error.hint}, [])
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
