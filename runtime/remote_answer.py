"""One sample as it streams in from a server: its text, how it ended, what it cost; every type is checked."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from leafwise.runtime.contracts import FinishReason, Piece, Sample
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import ContextOverflowError, EngineError
from leafwise.runtime.remote_errors import LONGER, RefusedError, Secrets, words_of
from leafwise.runtime.remote_sse import Event
from leafwise.runtime.text import TextAssembler

_CHARS_PER_TOKEN = 256
"""More than the longest token of any vocabulary (runs of spaces): beyond that a server ignores `max_tokens`."""
_REASONS = {"stop": FinishReason.STOP, "eos": FinishReason.STOP, "length": FinishReason.LENGTH}


class Draft:
    """One sample of a generation.

    Args:
        generation: gets the pieces.
        index: the sample's number.
        secrets: kept out of errors.
    """

    def __init__(self, generation: Generation, index: int, secrets: Secrets) -> None:
        self._generation = generation
        self._request = generation.request
        self._index = index
        self._secrets = secrets
        self._assembler = TextAssembler(self._request.stop)
        self._text = ""
        self._counted = 0
        self._reported: int | None = None
        self._logprob: float | None = None
        self._logprobs_broken = False
        self.reason: FinishReason | None = None
        """How it ended; None while it goes on."""
        self.done = False
        """Whether nothing more is to be read."""
        self.prompt_tokens: int | None = None
        """As the server says."""
        self.cached_tokens: int | None = None
        """As the server says."""
        self.first_at: float | None = None
        """When the first token came (`time.monotonic`)."""

    @property
    def tokens(self) -> int:
        """Tokens generated so far: the server's count, or the pieces that came."""
        return self._counted if self._reported is None else self._reported

    def take(self, event: Event) -> None:
        """Take one event of the stream.

        Raises:
            RefusedError: it is an error object.
            EngineError: it is not what such a server sends.
        """
        if event.data.strip() == "[DONE]":
            self.done = True
            return
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            raise self._strange(event.data)
        if event.error or chunk.get("error") or chunk.get("object") == "error":
            raise self._error_object(chunk)
        self._take_costs(chunk)
        choices = chunk.get("choices")
        if choices is None and ("choices" in chunk or "usage" in chunk):  # how some servers send what it cost
            choices = []
        if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            raise self._strange(event.data)
        for choice in choices[:1] if self.reason is None else ():
            self._take_choice(choice, event.data)

    def _take_choice(self, choice: dict[str, Any], data: str) -> None:
        delta = choice.get("delta") or {}
        text = choice.get("text") if "text" in choice else delta.get("content") if isinstance(delta, dict) else 0
        reason = choice.get("finish_reason")
        if not isinstance(text, str | None) or not isinstance(reason, str | None):
            raise self._strange(data)
        logprobs = self._take_logprobs(choice.get("logprobs"))
        thought = isinstance(delta, dict) and bool(delta.get("reasoning_content") or delta.get("reasoning"))
        if text or thought or logprobs:
            self._counted += max(1, logprobs)
            self.first_at = self.first_at or time.monotonic()
        if text:
            self._say(self._assembler.add(text.encode("utf-8", "replace")))  # lone surrogates can't be text
        if self._assembler.stopped:  # the server did not see the stop string
            self.reason, self.done = FinishReason.STOP, True
        elif reason:  # some servers send an empty one while it goes on
            self._end(reason)

    def _end(self, reason: str) -> None:
        """The server says that the sample has ended; what it cost may still follow."""
        if reason not in _REASONS:
            said = self._secrets.clean(reason, 40)
            raise EngineError(f"the server broke the answer off: {said}", "look at the server's log")
        self.reason = _REASONS[reason]
        self._say(self._assembler.end())

    def _say(self, text: str) -> None:
        if not text:
            return
        self._text += text
        if len(self._text) > _CHARS_PER_TOKEN * (self._request.max_tokens + 16):
            raise EngineError(f"the server sends far more than {self._request.max_tokens} tokens", "check the server")
        self._generation.push(Piece(sample=self._index, text=text, tokens=self.tokens))

    def sample(self, cut: FinishReason | None = None) -> Sample:
        """The finished sample.

        Args:
            cut: why it ends, if it had not ended by itself.

        Raises:
            ContextOverflowError: the server stopped before `max_tokens`, for want of room.
            EngineError: the stream ended without saying that the sample did.
        """
        reason = self.reason or cut
        if reason is None:
            raise EngineError(
                f"the server's answer broke off after {self.tokens} tokens",
                "look at its log; if others use it too, start llama_cpp.server with --interrupt_requests False",
            )
        if self.reason is None:
            self._say(self._assembler.end())
        if reason is FinishReason.LENGTH:
            self._check_length()
            if self._request.json_schema is not None and not _is_json(self._text):
                reason = FinishReason.GRAMMAR
        logprob = None if self._logprobs_broken else self._logprob
        return Sample(text=self._text, finish_reason=reason, tokens=self.tokens, logprob=logprob)

    def _check_length(self) -> None:
        """Servers cut an answer where their context ends and call it its length; by their own count it is not."""
        if self._reported is not None and self._reported < self._request.max_tokens:
            raise ContextOverflowError(
                f"the server ended the answer after {self._reported} of {self._request.max_tokens} tokens: "
                "its context is full",
                LONGER,
            )

    def _take_costs(self, chunk: dict[str, Any]) -> None:
        """Counts of OpenAI's `usage`, and of llama-server's `timings`, which come with every piece."""
        usage, timings = chunk.get("usage"), chunk.get("timings")
        if isinstance(timings, dict):
            computed, cached = count(timings.get("prompt_n")), count(timings.get("cache_n"))
            if computed is not None:
                self.prompt_tokens, self.cached_tokens = computed + (cached or 0), cached
            self._reported = count(timings.get("predicted_n")) or self._reported
        if isinstance(usage, dict):
            prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
            details = usage.get("prompt_tokens_details")
            cached = count(details.get("cached_tokens")) if isinstance(details, dict) else None
            self.prompt_tokens = self.prompt_tokens if prompt is None else prompt
            self.cached_tokens = self.cached_tokens if cached is None else cached
            self._reported = self._reported if completion is None else completion

    def _take_logprobs(self, given: Any) -> int:
        """Add up log-probabilities, in the form of chats or of raw completions; give how many there were."""
        if not isinstance(given, dict) or not self._request.logprobs:
            return 0
        content = given.get("content")
        if isinstance(content, list):
            values = [entry.get("logprob") if isinstance(entry, dict) else None for entry in content]
        else:
            values = given.get("token_logprobs") or []
        if not isinstance(values, list):
            return 0
        for value in values:
            if isinstance(value, int | float) and math.isfinite(value) and value <= 1e-3:  # rounded
                self._logprob = (self._logprob or 0.0) + value
            else:
                self._logprobs_broken = True  # a sum over some of the tokens would be a wrong number
        return len(values)

    def _error_object(self, chunk: dict[str, Any]) -> RefusedError:
        error = chunk.get("error")
        code = (error if isinstance(error, dict) else chunk).get("code")
        status = count(code) or 500
        return RefusedError(status if 400 <= status < 600 else 500, self._secrets.clean(words_of(chunk)))

    def _strange(self, data: str) -> EngineError:
        said = self._secrets.clean(data, 100)
        return EngineError(f"the server streams something strange: {said}", "is it an OpenAI-compatible server?")


def count(value: Any) -> int | None:
    """A count from a server, None if it is not one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
