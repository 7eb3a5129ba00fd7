"""The llama.cpp engine: requests in, text out, through one scheduler thread that owns the model."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from leafwise.runtime.chat import ChatTemplate
from leafwise.runtime.contracts import ModelInfo, Request
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import (
    ChatTemplateError,
    ContextOverflowError,
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    LeafwiseError,
)
from leafwise.runtime.handle import Handle
from leafwise.runtime.jobs import Job
from leafwise.runtime.llama import LlamaModel
from leafwise.runtime.llama_grammar import grammar_from_schema
from leafwise.runtime.meter import Meter
from leafwise.runtime.metering import Recorder
from leafwise.runtime.prefix_file import PrefixFile
from leafwise.runtime.scheduler import Scheduler
from leafwise.runtime.telemetry import trace_generation

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class LlamaEngine:
    """Runs a model in this process. Made by `leafwise.runtime.open_engine`.

    Args:
        model: a loaded model; the engine owns and frees it.
        info: what it is, and what it may serve at once.
        file: its identity, for prefixes kept on disk.
        deterministic: see `EngineOptions.deterministic`.
    """

    def __init__(self, model: LlamaModel, info: ModelInfo, file: PrefixFile, *, deterministic: bool = False) -> None:
        self._model = model
        source = model.chat_template
        bos, eos = model.token_text("bos"), model.token_text("eos")
        self._bos = bos
        self._template = ChatTemplate(source, bos, eos) if source else None
        self._trained = model.trained_context
        self.info = info
        """See `Engine.info`."""
        self._file = file
        self._inbox: queue.SimpleQueue[Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._failure: LeafwiseError | None = None
        self._recorder = Recorder()
        self._step_began: float | None = None
        self._scheduler = Scheduler(model, info.running, self._recorder, deterministic=deterministic)
        self._thread = threading.Thread(target=self._run, name="leafwise-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Generation:
        """See `Engine.submit`."""
        grammar = grammar_from_schema(request.json_schema) if request.json_schema is not None else None
        with self._lock:  # the model may not be freed between the look and the use
            self._refuse_if_closed()
            prompt = self._prompt_tokens(request)
            needed = len(prompt) + request.max_tokens
            if needed > self.info.context:
                raise ContextOverflowError(
                    f"the prompt has {len(prompt)} tokens and the answer may have {request.max_tokens}; "
                    f"together they exceed the context of {self.info.context}",
                    overflow_hint(needed, self.info.context, self._trained),
                )
            generation = Generation(request)
            trace_generation(generation, self.info)
            self._inbox.put(Job(generation, prompt, grammar))
        return generation

    def count_tokens(self, request: Request) -> int:
        """See `Engine.count_tokens`."""
        with self._lock:
            self._refuse_if_closed()
            return len(self._prompt_tokens(request))

    def meter(self) -> Meter:
        """See `Engine.meter`."""
        return self._recorder.snapshot()

    def busy_seconds(self) -> float:
        """How long the batch that is computed now has been taking; 0 between batches."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    def cells_in_use(self) -> int:
        """Cells of the KV cache that hold a token, cached prompts included.

        Raises:
            EngineError: llama.cpp holds cells that nobody knows of.
        """

        def count() -> int:
            if leaked := self._scheduler.cache.leaked:
                raise EngineError(f"the cells of sequences {leaked} are lost", "please report this")
            return self._scheduler.cache.cells

        return self._in_thread(count)

    def drop_cache(self) -> None:
        """Forget all cached prompts that no request works with."""
        self._in_thread(self._scheduler.cache.drop_unused)

    def save_prefix(self, request: Request, path: Path) -> int:
        """Keep the computed prompt of a request on disk, for `load_prefix` in a later run.

        Args:
            request: whose prompt; it is computed now unless it is in the cache.
            path: where to; written beside and renamed, so that it is whole or not there.

        Returns:
            Tokens kept.

        Raises:
            PrefixFileError: it cannot be written.
        """
        with self._lock:
            self._refuse_if_closed()
            prompt = self._prompt_tokens(request)
        _ = self._file.model_hash  # here, where nobody else waits
        nothing_else = {"max_tokens": 1, "min_tokens": 0, "n": 1, "stop": (), "json_schema": None, "json_after": None}
        self.submit(request.model_copy(update=nothing_else)).result()
        return self._in_thread(lambda: self._file.save(self._scheduler.cache, self._model, prompt, path))

    def load_prefix(self, path: Path) -> int:
        """Put a prompt that `save_prefix` kept into the cache.

        Returns:
            Tokens that prompts with this beginning need not compute.

        Raises:
            PrefixFileError: there is no such file, it is damaged, or it was written with another model, library version
                or parameters.
        """
        _ = self._file.model_hash  # here, where nobody else waits
        return self._in_thread(lambda: self._file.load(self._scheduler.cache, self._model, path))

    def close(self) -> None:
        """See `Engine.close`."""
        self._closing.set()
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> LlamaEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_if_closed(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing.is_set():
            raise EngineClosedError("the engine is closed")

    def _prompt_tokens(self, request: Request) -> list[int]:
        if request.prompt is not None:
            text = request.prompt + request.continuation
            return self._model.tokenize(text, add_special=True, parse_special=False) or self._nothing()
        if self._template is None:
            raise ChatTemplateError(
                f"{self.info.name} has no chat template, so it cannot be instructed",
                "use an Instruct model (`leafwise models list`)",
            )
        text = self._template.render(request.messages) + request.continuation
        # many templates write the first token themselves: a second one would hurt the model
        add_special = not (self._bos and text.startswith(self._bos))
        return self._model.tokenize(text, add_special=add_special, parse_special=True)

    def _nothing(self) -> list[int]:
        """What an empty prompt begins with, for models that have no beginning-of-sequence token."""
        return self._model.tokenize("\n", add_special=True, parse_special=False)

    # the scheduler thread

    def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        """Let the thread that owns the model do something between two batches, and wait for it."""
        handle: Handle[None, tuple[Answer]] = Handle()

        def run() -> None:
            try:
                handle.finish((work(),))
            # the caller waits in another thread: whatever happened is theirs to hear
            except Exception as error:
                handle.finish(error)

        with self._lock:
            self._refuse_if_closed()
            self._inbox.put(run)
        return handle.result()[0]

    def _run(self) -> None:
        try:
            self._loop()
        # the thread's boundary: whatever happened, every waiting caller must hear of it
        except Exception as error:
            log.exception("the engine's scheduler failed")
            self._failure = (
                error
                if isinstance(error, LeafwiseError)
                else EngineCrashedError(f"the engine failed: {type(error).__name__}: {error}", "please report this")
            )
        with self._lock:
            self._closing.set()
            while not self._inbox.empty():
                self._accept(self._inbox.get())
            self._scheduler.fail_all(self._failure or EngineClosedError("the engine was closed"))
            self._model.close()

    def _loop(self) -> None:
        while not self._closing.is_set():
            while not self._inbox.empty() or self._scheduler.idle:
                self._accept(self._inbox.get())
                if self._closing.is_set():
                    return
            self._step_began = time.monotonic()
            self._scheduler.step()
            self._step_began = None

    def _accept(self, item: Job | Callable[[], None] | None) -> None:
        if isinstance(item, Job):
            self._scheduler.add(item)
        elif item is not None:
            item()


def overflow_hint(needed: int, opened: int, trained: int) -> str:
    """What can be done about a prompt that does not fit.

    Args:
        needed: tokens of the prompt and the answer's limit together.
        opened: tokens of context that the engine was opened with.
        trained: tokens of context that the model was trained for.
    """
    lengths = f"the model was trained for {trained} tokens and opened with {opened}"
    if needed <= trained:
        return f"{lengths}: give --window {needed} or more (EngineOptions.context), or shorten the prompt or the task"
    return f"{lengths}, so no --window is long enough: shorten the prompt or the task, or take a model with more"
