"""The binding to llama.cpp; only this module and `llama_sampler` import `llama_cpp`.

`LlamaModel` owns a model and one context with a unified KV cache in which several sequences live. It is not
thread-safe: the scheduler thread of `llama_engine` owns it.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import numpy as np

from leafwise.runtime.errors import EngineCrashedError, ModelFileError

log = logging.getLogger("leafwise.llama_cpp")

# ggml's levels: none, debug, info, warn, error, continue. It warns of things that are meant (a cache larger than one
# context), so only its errors become warnings: what they lead to is raised.
_LEVELS = {3: logging.INFO, 4: logging.WARNING}


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log_callback(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line.strip("."):  # loading prints a dot per percent
        log.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def _set_log(*, quiet: bool) -> None:
    """Send llama.cpp's log to `logging`.

    Args:
        quiet: unless somebody listens to information, send it nowhere. Loading writes hundreds of lines, and each call
            into Python waits for the interpreter's lock, which other threads hold while they import: half a second in
            all. The callback is then a C function that does nothing (`abs` looks at the first argument only).
    """
    silent = ctypes.cast(ctypes.CDLL(None).abs, llama_cpp.llama_log_callback)
    quiet = quiet and not log.isEnabledFor(logging.INFO)
    llama_cpp.llama_log_set(silent if quiet else _log_callback, ctypes.c_void_p(0))


class Row(NamedTuple):
    """One token of a batch."""

    token: int
    """The token's number."""
    position: int
    """Its place in its sequence, from 0."""
    sequence: int
    """The sequence it belongs to."""
    wants_logits: bool
    """Whether the next token will be drawn after it."""


@dataclass(frozen=True)
class LlamaOptions:
    """How a model is loaded."""

    context: int = 8192
    """Cells of the KV cache, shared by all sequences."""
    n_seq_max: int = 32
    """Sequences that may have cells at once."""
    n_batch: int = 512
    """Most tokens of one step."""
    threads: int = 1
    """Threads that compute."""
    safe: bool = False
    """Without repacked weights: slower, for builds that crash on this CPU (see `probe`)."""


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
        _set_log(quiet=True)
        self.model = self._load(path)
        if not self.model:
            _set_log(quiet=False)
            self.model = self._load(path)  # once more, for the log: it says why
        if not self.model:
            raise ModelFileError(
                f"llama.cpp cannot load {path.name}", "its words are above; `leafwise models show` reads the header"
            )
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self.vocab))
        self._open_context()
        _set_log(quiet=False)

    def _load(self, path: Path) -> Any:
        parameters = llama_cpp.llama_model_default_params()
        parameters.use_extra_bufts = not self.options.safe
        return llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)

    def _open_context(self) -> None:
        options, parameters = self.options, llama_cpp.llama_context_default_params()
        parameters.n_ctx = options.context
        parameters.n_batch = parameters.n_ubatch = options.n_batch
        parameters.n_seq_max = options.n_seq_max
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.kv_unified = True
        # as llama-cpp-python's own `Llama` does, so that greedy tokens are the same
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.no_perf = True
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        if not self.context:
            self.close()
            raise EngineCrashedError(
                f"llama.cpp could not make a context of {options.context} tokens", "ask for a smaller --context"
            )
        self._memory = llama_cpp.llama_get_memory(self.context)
        self._batch = llama_cpp.llama_batch_init(options.n_batch, 0, 1)

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

    def ends(self, token: int) -> bool:
        """Whether this token ends a turn or the text."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    # computing

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute one batch of at most `n_batch` rows.

        Raises:
            EngineCrashedError: llama.cpp reports a failure; the context is then of no more use.
        """
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, row in enumerate(rows):
            batch.token[i] = row.token
            batch.pos[i] = row.position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = row.sequence
            batch.logits[i] = row.wants_logits
        status = llama_cpp.llama_decode(self.context, batch)
        if status != 0:
            raise EngineCrashedError(f"llama.cpp failed to decode a batch (status {status})", "start again")

    def logprob(self, row: int, token: int) -> float:
        """Natural-log probability of a token after the given row of the last batch, at temperature 1."""
        pointer = llama_cpp.llama_get_logits_ith(self.context, row)
        logits = np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))
        top = float(logits.max())
        return float(logits[token]) - top - float(np.log(np.exp(logits - top).sum()))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` cells of `source`; nothing is computed or moved."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def forget(self, sequence: int) -> None:
        """Free the cells of a sequence."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, 0, -1)

    def close(self) -> None:
        """Free everything. Closing twice is fine."""
        if self.context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self.context)
            self.context = None
        if self.model:
            llama_cpp.llama_model_free(self.model)
            self.model = None


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
