"""The llama.cpp engine: requests in, text out, through one scheduler thread that owns the model."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass

from leafwise.runtime.chat import ChatTemplate
from leafwise.runtime.contracts import ModelInfo, Request
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import (
    ChatTemplateError,
    ContextOverflowError,
    EngineClosedError,
    EngineCrashedError,
    LeafwiseError,
)
from leafwise.runtime.jobs import Job
from leafwise.runtime.llama import LlamaModel
from leafwise.runtime.llama_sampler import grammar_from_schema
from leafwise.runtime.scheduler import Scheduler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capacity:
    """How many requests an engine serves at once."""

    context: int
    """Tokens one sequence may have, prompt and completion together."""
    running: int = 16
    """Samples that generate at once."""


class LlamaEngine:
    """Runs a model in this process. Made by `leafwise.runtime.open_engine`.

    Args:
        model: a loaded model; the engine owns and frees it.
        capacity: what it may serve at once.
        name: for people.
    """

    def __init__(self, model: LlamaModel, capacity: Capacity, *, name: str) -> None:
        self._model = model
        source = model.chat_template
        bos, eos = model.token_text("bos"), model.token_text("eos")
        self._bos = bos
        self._template = ChatTemplate(source, bos, eos) if source else None
        self.info = ModelInfo(
            name=name,
            architecture=model.architecture,
            context=capacity.context,
            running=capacity.running,
        )
        """See `Engine.info`."""
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._failure: LeafwiseError | None = None
        self._thread = threading.Thread(target=self._run, args=(capacity.running,), name="leafwise-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Generation:
        """See `Engine.submit`."""
        grammar = grammar_from_schema(request.json_schema) if request.json_schema is not None else None
        with self._lock:  # the model may not be freed between the look and the use
            self._refuse_if_closed()
            prompt = self._prompt_tokens(request)
            if len(prompt) + request.max_tokens > self.info.context:
                raise ContextOverflowError(
                    f"the prompt has {len(prompt)} tokens and the answer may have {request.max_tokens}; "
                    f"together they exceed the context of {self.info.context}",
                    "shorten the prompt or the task, or use a model with a longer context",
                )
            generation = Generation(request)
            self._inbox.put(Job(generation, prompt, grammar, time.monotonic()))
        return generation

    def count_tokens(self, request: Request) -> int:
        """See `Engine.count_tokens`."""
        with self._lock:
            self._refuse_if_closed()
            return len(self._prompt_tokens(request))

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

    def _run(self, running: int) -> None:
        scheduler = Scheduler(self._model, running)
        try:
            self._loop(scheduler)
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
                if job := self._inbox.get():
                    scheduler.add(job)
            scheduler.fail_all(self._failure or EngineClosedError("the engine was closed"))
            self._model.close()

    def _loop(self, scheduler: Scheduler) -> None:
        while not self._closing.is_set():
            while not self._inbox.empty() or scheduler.idle:
                job = self._inbox.get()
                if job is None:
                    return
                scheduler.add(job)
            scheduler.step()
