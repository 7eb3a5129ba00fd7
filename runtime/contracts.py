"""What crosses the seam of the engine: requests and completions. `sandbox_contracts` has programs and verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Contract(BaseModel):
    """Base of all contracts: frozen, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Contract):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said."""


class Sampling(Contract):
    """How the next token is drawn from the model's distribution.

    Samplers apply in this order: top-k, top-p, min-p, temperature, draw.
    """

    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    """0, or less than a millionth, is greedy: always the most likely token; the other fields then have no effect."""
    top_k: int = Field(default=0, ge=0)
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Keep the smallest set of tokens whose probabilities add up to p."""
    min_p: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Drop tokens less likely than min_p times the most likely one."""

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken; logits divided by almost nothing are no numbers."""
        return self.temperature < 1e-6


class Request(Contract):
    """One call of a model: a prompt and n independent samples of its continuation."""

    messages: tuple[Message, ...] = ()
    """A chat, rendered by the model's own template. Exactly one of `messages` and `prompt` is given."""
    prompt: str | None = None
    """A raw prompt, tokenized as it is."""
    continuation: str = ""
    """The first characters of the answer, put into the model's mouth after the rendered chat; not part of the text."""
    sampling: Sampling = Sampling()
    """How tokens are drawn."""
    n: int = Field(default=1, ge=1, le=256)
    """Independent samples; the prompt is computed once."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens per sample, the end token included."""
    min_tokens: int = Field(default=0, ge=0)
    """Tokens before which the model can't end its turn (stop strings still end the text). No promise with a
    `json_schema`: JSON ends where its form does.
    """
    stop: tuple[str, ...] = ()
    """The text ends before the first of these strings."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Sample i draws with seed + i, so equal requests give equal samples."""
    json_schema: dict[str, Any] | None = None
    """A JSON schema, or a pydantic model class: the text can only be JSON of this form. Characters of a `pattern` are
    said as they stand there, so it should have room for no quote, backslash or control character.
    """
    json_after: str | None = None
    """With `json_schema`: the text is free until this string appears in it, and JSON of that form after it."""
    lookup: bool = False
    """Guess next tokens where the text repeats the prompt, and check the guesses in the batch (prompt lookup): quicker
    where an answer repeats much of its prompt, and every token is still drawn from the model's own distribution.
    """
    logprobs: bool = False
    """Whether to sum the log-probabilities of each sample's tokens (one pass over the vocabulary per token)."""
    deadline: float | None = None
    """Seconds from submission after which every sample ends with what it has."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Request:
        if bool(self.messages) == (self.prompt is not None):
            raise ValueError("give exactly one of messages and prompt")
        if any(not s for s in self.stop):
            raise ValueError("a stop string is empty")
        if self.json_after is not None and (not self.json_after or self.json_schema is None):
            raise ValueError("json_after needs a json_schema, and is not empty")
        if any("\ud800" <= char <= "\udfff" for char in self.json_after or ""):
            raise ValueError("json_after holds half a character, which no text does")
        return self

    @field_validator("json_schema", mode="before")
    @classmethod
    def _schema_of_a_class(cls, value: Any) -> Any:
        return value.model_json_schema() if isinstance(value, type) and issubclass(value, BaseModel) else value


class FinishReason(StrEnum):
    """Why a sample ended."""

    STOP = "stop"
    """The model ended its turn, or a stop string appeared."""
    LENGTH = "length"
    """`max_tokens` was reached: the text is cut."""
    GRAMMAR = "grammar"
    """The text is not complete JSON: `max_tokens` was reached before the grammar allowed an end, or nothing that the
    vocabulary has could follow.
    """
    DEADLINE = "deadline"
    """The request's deadline passed: the text is cut."""
    CANCELLED = "cancelled"
    """The caller cancelled: the text is cut."""


class Piece(Contract):
    """A stretch of text of one sample, as it arrives."""

    sample: int
    """Which of the request's n samples, from 0."""
    text: str
    """Whole characters only; never part of a stop string."""
    tokens: int
    """Tokens generated for this sample so far."""


class Sample(Contract):
    """One finished continuation."""

    text: str
    """The text, without stop string and special tokens."""
    finish_reason: FinishReason
    """Why it ended."""
    tokens: int
    """Tokens generated, the end token included."""
    logprob: float | None = None
    """Sum of the tokens' natural-log probabilities under the model (temperature 1); None unless asked for."""


class Usage(Contract):
    """What a request cost, in the engine's own counts."""

    prompt_tokens: int
    """Tokens of the rendered prompt, counted once whatever n is."""
    cached_tokens: int = 0
    """Of these, tokens found in the cache and not computed again."""
    completion_tokens: int
    """Tokens generated over all samples."""
    seconds: float
    """Wall-clock time from submission to the last token."""
    first_token_seconds: float | None = None
    """Wall-clock time from submission to the first token; None when there was none."""


class Completion(Contract):
    """The answer to one request."""

    samples: tuple[Sample, ...]
    """n samples, in order."""
    usage: Usage
    """What it cost."""


class ModelInfo(Contract):
    """What an engine says about the model it runs."""

    name: str
    """A name for people: the registry's name or the file's."""
    architecture: str
    """For example `llama`."""
    context: int
    """Tokens that one sequence can hold."""
    running: int
    """Samples that can run at once; more wait."""
    parameters: int | None = None
    """Weights of the model; None if that is not known, as of a server's."""
    detail: str = ""
    """How it runs, one line for people: cache, attention, process, server."""
