"""The binding to llama.cpp: a model and one context in which several sequences live.

`LlamaModel` is not thread-safe: the scheduler thread of `llama_engine` owns it; only tokenizing may be done beside it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from leafwise.runtime.errors import EngineCrashedError, ModelFileError
from leafwise.runtime.gguf_header import KVType
from leafwise.runtime.llama_batch import Batch, Row
from leafwise.runtime.llama_log import set_log
from leafwise.runtime.sampling import Logits

_KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0, "q4_0": llama_cpp.GGML_TYPE_Q4_0}


@dataclass(frozen=True)
class LlamaOptions:
    """How a model is loaded."""

    context: int = 8192
    """Cells of the KV cache, over all sequences."""
    n_seq_max: int = 1
    """Sequences that may have cells at once."""
    n_batch: int = 512
    """Most tokens of one step."""
    n_outputs_max: int = 0
    """Most rows of a step that want logits; 0 for as many as rows."""
    threads: int = 1
    """Threads that compute."""
    unified: bool = True
    """Whether all sequences draw from one pool of cells; otherwise each has `context / n_seq_max` of its own."""
    kv_type: KVType = "f16"
    """What the KV cache stores."""
    flash_attention: bool = False
    """Whether attention is computed by the fused kernel. Off, greedy tokens are those of `llama_cpp.Llama`."""
    safe: bool = False
    """Without repacked weights: slower, for builds that crash on this CPU (see `probe`)."""

    @property
    def sequence_cells(self) -> int:
        """Cells that one sequence may have."""
        return self.context if self.unified else self.context // self.n_seq_max


class LlamaModel:
    """A loaded model with its context.

    Raises:
        ModelFileError: llama.cpp refuses the file.
        EngineCrashedError: there is no memory for the context.
    """

    def __init__(self, path: Path, options: LlamaOptions) -> None:
        self.options = options
        self.context: Any = None
        self.model: Any = None
        llama_cpp.llama_backend_init()
        set_log(quiet=True)
        self.model = self._load(path)
        if not self.model:
            set_log(quiet=False)
            self.model = self._load(path)  # once more, for the log: it says why
        if not self.model:
            raise ModelFileError(
                f"llama.cpp cannot load {path.name}", "its words are above; `leafwise models show` reads the header"
            )
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self.vocab))
        self._open_context()
        set_log(quiet=False)

    def _load(self, path: Path) -> Any:
        parameters = llama_cpp.llama_model_default_params()
        parameters.use_extra_bufts = not self.options.safe
        # a memory map would keep the file's pages beside the repacked copy of them: twice the model at the peak
        parameters.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        return llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)

    def _open_context(self) -> None:
        options, parameters = self.options, llama_cpp.llama_context_default_params()
        parameters.n_ctx = options.context
        parameters.n_batch = parameters.n_ubatch = options.n_batch
        parameters.n_seq_max = options.n_seq_max
        parameters.n_outputs_max = options.n_outputs_max
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.kv_unified = options.unified
        parameters.type_k = parameters.type_v = _KV_TYPES[options.kv_type]
        parameters.flash_attn_type = int(options.flash_attention)  # LLAMA_FLASH_ATTN_TYPE_DISABLED, _ENABLED
        parameters.no_perf = True
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        if not self.context:
            self.close()
            raise EngineCrashedError(
                f"llama.cpp could not make a context of {options.context} cells", "ask for a smaller --window"
            )
        self._memory = llama_cpp.llama_get_memory(self.context)
        self._batch = Batch(options.n_batch)

    # the file

    @property
    def architecture(self) -> str:
        """The file's architecture, for example `llama`."""
        return self._metadata("general.architecture")

    @property
    def chat_template(self) -> str | None:
        """The Jinja text in the file, if it has one."""
        found: bytes | None = llama_cpp.llama_model_chat_template(self.model, None)
        return found.decode("utf-8", "replace") if found else None

    @property
    def trained_context(self) -> int:
        """Tokens of context that the model was trained for."""
        return int(llama_cpp.llama_model_n_ctx_train(self.model))

    def token_text(self, which: str) -> str:
        """Text of the `bos` or `eos` token; empty if the model has none."""
        token = getattr(llama_cpp, f"llama_vocab_{which}")(self.vocab)
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        size = llama_cpp.llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    # tokens

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Text to token numbers.

        Args:
            text: what to cut into tokens.
            add_special: put the beginning-of-sequence token first, where the model wants one.
            parse_special: read `<|im_end|>` and the like as the tokens they name.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        while True:
            buffer = (llama_cpp.llama_token * size)()
            count = llama_cpp.llama_tokenize(self.vocab, data, len(data), buffer, size, add_special, parse_special)
            if count >= 0:
                return list(buffer[:count])
            size = -count

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; control tokens have none unless `special`."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    @functools.cached_property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end a turn or the text."""
        is_end = llama_cpp.llama_vocab_is_eog
        return frozenset(token for token in range(self.n_vocab) if is_end(self.vocab, token))

    # computing

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute one batch of at most `n_batch` rows.

        Raises:
            EngineCrashedError: llama.cpp reports a failure; the context is then of no more use.
        """
        self._batch.fill(rows)
        status = llama_cpp.llama_decode(self.context, self._batch.native)
        if status != 0:
            raise EngineCrashedError(f"llama.cpp failed to decode a batch (status {status})", "start again")

    def logits(self, row: int) -> Logits:
        """What the model says after a row of the last batch that wanted logits, shape (n_vocab,).

        llama.cpp's own memory, which may be written to and is valid until the next `decode`.
        """
        pointer = llama_cpp.llama_get_logits_ith(self.context, row)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    # sequences

    def copy(self, source: int, target: int, length: int) -> None:
        """Let an empty sequence begin with the first `length` tokens of another.

        A unified cache lets them share the cells. Separate cells are copied, all of the source's at the next `decode`.
        """
        if self.options.unified:
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)
        else:
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)
            self.cut(target, length)

    def move(self, source: int, target: int) -> None:
        """Let an empty sequence take another's place."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.forget(source)

    def cut(self, sequence: int, length: int) -> None:
        """Forget all but the first `length` tokens of a sequence."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def forget(self, sequence: int) -> None:
        """Free the cells of a sequence."""
        self.cut(sequence, 0)

    def is_empty(self, sequence: int) -> bool:
        """Whether llama.cpp itself holds nothing for a sequence."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, sequence)) < 0

    def clear(self) -> None:
        """Forget all sequences; what is computed next lies in the same cells as in a new context."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def save_sequence(self, sequence: int, tokens: Sequence[int], path: Path) -> int:
        """Write a sequence's state to a file; gives the bytes written, 0 if that failed."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        return int(llama_cpp.llama_state_seq_save_file(self.context, str(path).encode(), sequence, array, len(tokens)))

    def load_sequence(self, sequence: int, count: int, path: Path) -> list[int]:
        """Read a sequence's state of `count` tokens into an empty sequence; gives its tokens, none if that failed."""
        array, found = (llama_cpp.llama_token * count)(), ctypes.c_size_t()
        read = llama_cpp.llama_state_seq_load_file(
            self.context, str(path).encode(), sequence, array, count, ctypes.byref(found)
        )
        return list(array[: found.value]) if read else []

    def close(self) -> None:
        """Free everything. Closing twice is fine."""
        if self.context:
            llama_cpp.llama_free(self.context)
            self.context = None
        if self.model:
            llama_cpp.llama_model_free(self.model)
            self.model = None


def library_version() -> str:
    """Of llama-cpp-python, and so of the llama.cpp in it."""
    return str(llama_cpp.__version__)


def system_info() -> str:
    """llama.cpp's own line about the CPU features that this build uses."""
    return str(llama_cpp.llama_print_system_info().decode("utf-8", "replace"))


def probe_decode(path: Path, *, safe: bool) -> None:
    """Load a model and decode one small batch: where a build does not fit the CPU, this is where it dies.

    Raises:
        ModelFileError: llama.cpp refuses the file.
        EngineCrashedError: it loads but does not compute.
    """
    model = LlamaModel(path, LlamaOptions(context=64, n_seq_max=1, n_batch=32, safe=safe))
    try:
        tokens = model.tokenize("def add(a, b):\n    return a", add_special=True, parse_special=False)[:32]
        model.decode([Row(token, i, 0, i == len(tokens) - 1) for i, token in enumerate(tokens)])
        model.decode([Row(tokens[0], len(tokens), 0, True)])
    finally:
        model.close()
