"""The scripted engine: a queue of replies instead of a model, for tests of workflow logic. Running out raises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from leafwise.runtime.contracts import Completion, FinishReason, ModelInfo, Piece, Request, Sample, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import ContextOverflowError, EngineClosedError, ScriptExhaustedError
from leafwise.runtime.meter import Meter
from leafwise.runtime.text import TextAssembler

Reply = str | Callable[[Request, int], str]
"""A text, or a function of the request and the sample's number that makes one."""


class ScriptedEngine:
    """Answers requests from a script, in order, one reply per sample.

    A token is a word with the white space before it; limits, stop strings and counts work on these.

    Args:
        replies: the script; or one function that answers every sample.
        context: tokens that prompt and completion may take together.
    """

    def __init__(self, replies: Iterable[Reply] | Callable[[Request, int], str], context: int = 8192) -> None:
        self._replies = replies if callable(replies) else iter(list(replies))
        self._lock = threading.Lock()
        self._closed = False
        self.info = ModelInfo(name="scripted", architecture="scripted", context=context, running=16)
        """See `Engine.info`."""
        self.requests: list[Request] = []
        """Every request that was submitted, in order."""

    def submit(self, request: Request) -> Generation:
        """See `Engine.submit`.

        Raises:
            ScriptExhaustedError: the script has no reply left (raised by the handle).
        """
        prompt_tokens = self.count_tokens(request)
        if prompt_tokens + request.max_tokens > self.info.context:
            raise ContextOverflowError(
                f"the prompt has {prompt_tokens} tokens and may grow by {request.max_tokens}; "
                f"the context holds {self.info.context}",
                "shorten the prompt or lower the token limit",
            )
        generation = Generation(request)
        with self._lock:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            self.requests.append(request)
            try:
                texts = [self._next(request, i) for i in range(request.n)]
            except ScriptExhaustedError as error:
                generation.finish(error)
                return generation
        threading.Thread(target=_play, args=(generation, texts, prompt_tokens), daemon=True).start()
        return generation

    def count_tokens(self, request: Request) -> int:
        """See `Engine.count_tokens`."""
        text = request.prompt if request.prompt is not None else " ".join(m.content for m in request.messages)
        return len((text + request.continuation).split())

    def meter(self) -> Meter:
        """See `Engine.meter`: only requests are counted."""
        return Meter(requests=len(self.requests))

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True

    def __enter__(self) -> ScriptedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, request: Request, index: int) -> str:
        if callable(self._replies):
            return self._replies(request, index)
        for reply in self._replies:
            return reply(request, index) if callable(reply) else reply
        raise ScriptExhaustedError(f"the script ended before request {len(self.requests)}")


def _play(generation: Generation, texts: list[str], prompt_tokens: int) -> None:
    samples = [_speak(generation, index, text) for index, text in enumerate(texts)]
    usage = Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=sum(s.tokens for s in samples),
        seconds=0.0,
        first_token_seconds=0.0,
    )
    generation.finish(Completion(samples=tuple(samples), usage=usage))


def _speak(generation: Generation, index: int, text: str) -> Sample:
    request = generation.request
    assembler = TextAssembler(request.stop)
    said, tokens, reason = "", 0, FinishReason.STOP
    for token in _tokens(text):
        if generation.cancelled or (request.deadline is not None and request.deadline <= 0):
            reason = FinishReason.CANCELLED if generation.cancelled else FinishReason.DEADLINE
            break
        if tokens == request.max_tokens:
            reason = FinishReason.LENGTH
            break
        tokens += 1
        said += _emit(generation, index, assembler.add(token.encode()), tokens)
        if assembler.stopped:
            break
    said += _emit(generation, index, assembler.end(), tokens)
    return Sample(text=said, finish_reason=reason, tokens=tokens)


def _emit(generation: Generation, index: int, text: str, tokens: int) -> str:
    if text:
        generation.push(Piece(sample=index, text=text, tokens=tokens))
    return text


def _tokens(text: str) -> list[str]:
    """Cut a text into words, each with the white space before it; nothing is lost."""
    tokens: list[str] = []
    word = ""
    for char in text:
        if char.isspace() and word and not word[-1].isspace():
            tokens.append(word)
            word = ""
        word += char
    return [*tokens, word] if word else tokens
