"""The seam to running a model: the `Engine` protocol and the `Generation` handle that every engine gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

from leafwise.runtime.contracts import Completion, ModelInfo, Piece, Request
from leafwise.runtime.handle import Handle
from leafwise.runtime.meter import Meter


class Generation(Handle[Piece, Completion]):
    """A request in flight: pieces of text as they come, the completion in the end.

    Cancelling ends every sample with what it has; the completion then marks them as cancelled.

    Args:
        request: what was asked.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
        self.started = False
        """Whether the engine began to compute it."""
        self.on_start: Callable[[], None] | None = None
        """Called once, in the engine's thread, when it begins."""

    def begin(self) -> None:
        """For the engine: it begins to compute the request."""
        if not self.started:
            self.started = True
            if self.on_start is not None:
                self.on_start()


class Engine(Protocol):
    """Runs one model. Safe to call from several threads at once; requests in flight together share the batch."""

    @property
    def info(self) -> ModelInfo:
        """What model runs, and within which limits."""
        ...

    def submit(self, request: Request) -> Generation:
        """Queue a request; returns at once.

        Raises:
            ContextOverflowError: prompt and `max_tokens` do not fit the context; nothing was computed. A server
                behind a URL counts only when it is asked: then the handle raises it.
            ChatTemplateError: the model has no chat template, or it does not render these messages.
            GrammarError: the JSON schema cannot become a grammar.
            EngineClosedError: the engine is closed.
        """
        ...

    def count_tokens(self, request: Request) -> int:
        """Tokens of the rendered prompt, special tokens included."""
        ...

    def meter(self) -> Meter:
        """What the engine did since it was opened."""
        ...

    def close(self) -> None:
        """Cut off what still runs (`EngineClosedError` in its handles) and free the model. Closing twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
