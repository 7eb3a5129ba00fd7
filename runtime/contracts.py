"""What crosses the seams of the runtime: requests and completions, programs and verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Contract(BaseModel):
    """Base of all contracts: frozen, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- running a model -------------------------------------------------------------------------------------------------


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
    """0 is greedy: always the most likely token; the other fields are then without effect."""
    top_k: int = Field(default=0, ge=0)
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Keep the smallest set of tokens whose probabilities add up to p."""
    min_p: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Drop tokens less likely than min_p times the most likely one."""


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
    """Tokens before which the model can't end its turn (stop strings still end the text)."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these strings."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Sample i draws with seed + i, so equal requests give equal samples."""
    json_schema: dict[str, Any] | None = None
    """A JSON schema, or a pydantic model class: the text can only be JSON of this form."""
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
    """`max_tokens` was reached before the grammar allowed an end: the text is not complete JSON."""
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
    detail: str = ""
    """How it runs, one line for people: cache, attention, process, server."""


# --- running a program -----------------------------------------------------------------------------------------------


class SandboxLevel(StrEnum):
    """How strongly programs are contained (see runtime/sandbox.py)."""

    FULL = "full"
    """bubblewrap namespaces + seccomp, and Landlock where the kernel has it."""
    LANDLOCK = "landlock"
    """Landlock + seccomp, no namespaces, no writable directory."""
    NONE = "none"
    """Resource limits only: for trusted programs, on explicit request."""
    SCRIPTED = "scripted"
    """Nothing is run: the scripted sandbox of the tests."""


class Limits(Contract):
    """What one program may use."""

    cpu_seconds: float = Field(default=5.0, gt=0, le=3600)
    """CPU time of the program; decides time-outs."""
    wall_seconds: float = Field(default=20.0, gt=0, le=14400)
    """Wall-clock time, a backstop for programs that sleep."""
    memory_mb: int = Field(default=1024, ge=64)
    """Address space, in MiB."""
    processes: int = Field(default=64, ge=1)
    """Threads and processes."""
    file_mb: int = Field(default=16, ge=0)
    """Largest file written to the scratch directory, in MiB."""
    output_chars: int = Field(default=10_000, ge=0)
    """Characters kept of what the program prints; more is dropped and `output_cut` is set."""


class Check(Contract):
    """One thing to try on a loaded program.

    Three forms: an expression with its expected value (`code="add(2, 3)", expected="5"`); an expression that must raise
    (`code="add(2)", raises="TypeError"`); or code that must not raise (`code="assert add(2, 3) == 5"`); if that is an
    expression, its value is observed.
    """

    code: str
    """Python: an expression, or statements when neither `expected` nor `raises` is given."""
    expected: str | None = None
    """A Python expression for the value that `code` must equal."""
    raises: str | None = None
    """The name of the exception type that `code` must raise (subclasses count)."""


class Program(Contract):
    """An untrusted module and what to try on it."""

    source: str
    """The candidate's module. Runs in the solver process only."""
    checks: tuple[Check, ...] = ()
    """Tried in order, in a tester process that never holds the candidate's code."""
    setup: str = ""
    """Code that the tester runs first: imports and helpers of the checks. `import solution` gives the candidate's
    functions.
    """
    stop_at_first_failure: bool = False
    """Leave the checks after a failing one unrun (they are then missing from the verdict)."""


class CheckResult(Contract):
    """What one check gave."""

    passed: bool
    """True only if the tester process decided so."""
    observed: str | None = None
    """`repr` of the value of the expression (at most 1,000 characters, `...` marks a cut), if it had one."""
    error: str | None = None
    """`TypeName: message` of the exception that `code` raised, if it raised."""
    line: int | None = None
    """Line of the candidate's source at which that exception was raised, where known."""
    seconds: float = 0.0
    """Wall-clock time of the check."""


class Status(StrEnum):
    """How a program ended."""

    PASSED = "passed"
    """Loaded, and every check passed (also with no checks at all: see `Verdict.checks`)."""
    FAILED = "failed"
    """Loaded, but a check failed."""
    LOAD_ERROR = "load_error"
    """The module did not load: a syntax error, or an exception at import."""
    TIMEOUT = "timeout"
    """CPU or wall-clock limit reached."""
    CRASHED = "crashed"
    """The process died: memory limit, native crash, an exit in the middle."""


class Verdict(Contract):
    """What running a program gave.

    Written by the tester and the supervisor; the program cannot write to that channel.
    """

    status: Status
    """How it ended."""
    checks: tuple[CheckResult, ...] = ()
    """One result per check that was tried, in order; shorter than the program's checks if it ended early."""
    detail: str = ""
    """One line for people: the load error, or what limit was hit."""
    output: str = ""
    """What the program printed (standard output and error), at most `Limits.output_chars`."""
    output_cut: bool = False
    """Whether output was dropped."""
    seconds: float = 0.0
    """Wall-clock time."""
    cpu_seconds: float = 0.0
    """CPU time of the program."""
    level: SandboxLevel
    """The sandbox level it ran under."""

    @property
    def passed(self) -> bool:
        """Whether the program loaded and every check passed."""
        return self.status is Status.PASSED

    @property
    def checks_passed(self) -> int:
        """Number of checks that passed."""
        return sum(c.passed for c in self.checks)
