"""The yardstick: llama-cpp-python's own `Llama`, one sequence at a time, as most of its users run it.

For benchmarks and for tests of exactness; nothing of leafwise's engine is in here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp

from leafwise.runtime.contracts import Contract, Message
from leafwise.runtime.errors import EngineError


class SerialRun(Contract):
    """One greedy continuation, timed by the clock."""

    text: str
    """What was generated."""
    prompt_tokens: int
    """Tokens of the prompt."""
    tokens: tuple[int, ...]
    """The tokens generated."""
    first_token_seconds: float
    """From the call to the first token."""
    seconds: float
    """From the call to the last token."""

    @property
    def decode_rate(self) -> float:
        """Tokens per second after the first one; 0 where there is only one."""
        later = self.seconds - self.first_token_seconds
        return (len(self.tokens) - 1) / later if later > 0 else 0.0


class SerialLlama:
    """`llama_cpp.Llama`, quiet, with its defaults but for context, threads and flash attention (batches of 512 tokens).

    Args:
        path: the GGUF file.
        context: tokens, prompt and completion together.
        threads: for prompts and for single tokens alike.

    Raises:
        EngineError: llama-cpp-python cannot load the file.
    """

    def __init__(self, path: Path, context: int, threads: int) -> None:
        try:
            self._llama: Any = llama_cpp.Llama(
                str(path),
                n_ctx=context,
                n_batch=512,
                n_threads=threads,
                n_threads_batch=threads,
                flash_attn=True,
                verbose=False,
            )
        except ValueError as error:
            raise EngineError(f"llama-cpp-python cannot load {path.name}: {error}", "see `leafwise doctor`") from error

    def generate(self, prompt: str, max_tokens: int) -> SerialRun:
        """Continue a raw prompt greedily, computed from the start; ends of text are passed over."""
        tokens = self._llama.tokenize(prompt.encode(), add_bos=True, special=False)
        self._llama.reset()
        return self._take(tokens, max_tokens)

    def _take(self, prompt: Sequence[int], max_tokens: int) -> SerialRun:
        taken: list[int] = []
        first = started = time.perf_counter()
        for token in self._llama.generate(prompt, temp=0.0):
            if not taken:
                first = time.perf_counter()
            taken.append(token)
            if len(taken) == max_tokens:
                break
        ended = time.perf_counter()
        return SerialRun(
            text=self._llama.detokenize(taken).decode("utf-8", "replace"),
            prompt_tokens=len(prompt),
            tokens=tuple(taken),
            first_token_seconds=first - started,
            seconds=ended - started,
        )

    def chat(self, messages: Sequence[Message], max_tokens: int) -> tuple[str, int]:
        """Answer a chat greedily with `create_chat_completion`, which reuses what the last prompt began with.

        Returns:
            The text, and the tokens generated.
        """
        turns = [message.model_dump() for message in messages]
        answer = self._llama.create_chat_completion(turns, max_tokens=max_tokens, temperature=0.0)
        return str(answer["choices"][0]["message"]["content"] or ""), int(answer["usage"]["completion_tokens"])

    def close(self) -> None:
        """Free the model. Closing twice is fine."""
        self._llama.close()
