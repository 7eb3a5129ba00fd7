"""What goes between `logits` and the process that computes them, and which positions of a chunk are scored."""

from __future__ import annotations

from pydantic import Field

from leafwise.runtime.contracts import Contract
from leafwise.runtime.gguf_header import KVType


def scored_positions(context: int) -> range:
    """Positions of a chunk whose next token is scored: the second half, as llama.cpp's perplexity tool has it.

    Position i says what follows tokens 0..i, and token i + 1 is its target. From context // 2, so that every scored
    token is predicted from at least half a context; up to context - 2, the last one that has a target in the chunk.
    """
    return range(context // 2, context - 1)


class Job(Contract):
    """What the process is asked for."""

    model: str
    """The GGUF file."""
    tokens: bool
    """Whether tokens follow, int32; otherwise it is text."""
    special_tokens: bool = False
    """Whether `<|im_start|>` and the like in the text are the tokens they name."""
    context: int = Field(ge=4)
    """Tokens of a chunk."""
    chunks: int | None = Field(default=None, ge=1)
    """Most chunks; None for all that the text has."""
    threads: int = Field(ge=1)
    """Threads that compute."""
    kv_type: KVType = "f16"
    """What the KV cache stores."""
    safe: bool = False
    """Without repacked weights, for builds that crash on this CPU."""


class Hello(Contract):
    """What the process says first."""

    n_vocab: int = Field(ge=2)
    """Tokens of the vocabulary."""
    vocabulary_sha256: str
    """Of all tokens' texts, and of the BOS token if the model wants one."""
    chunks: int = Field(ge=1)
    """How many will come."""
    library: str
    """The version of llama-cpp-python."""


class Failure(Contract):
    """What the process says instead when it can't, and also later."""

    error: str
    """Name of the error's class."""
    message: str
    """See `LeafwiseError`."""
    hint: str
    """See `LeafwiseError`."""
