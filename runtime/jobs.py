"""What the scheduler keeps in its books: jobs, the prefixes they share, and the samples that run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from leafwise.runtime.contracts import Completion, FinishReason, Sample, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.llama_sampler import Sampler
from leafwise.runtime.text import TextAssembler


@dataclass(eq=False)
class Prefix:
    """A sequence that holds the computed beginning of a prompt."""

    sequence: int
    tokens: list[int] = field(default_factory=list)
    users: int = 0
    last_used: float = 0.0


@dataclass(eq=False)
class Job:
    """A request on its way through the scheduler."""

    generation: Generation
    prompt: list[int]
    grammar: str | None
    submitted: float
    prefix: Prefix | None = None
    cached_tokens: int = 0
    started: int = 0
    first_token: float | None = None
    samples: dict[int, Sample] = field(default_factory=dict)

    @property
    def computed(self) -> bool:
        """Whether its whole prompt is in the cache."""
        return self.prefix is not None and len(self.prefix.tokens) == len(self.prompt)

    @property
    def waits_for_room(self) -> bool:
        """Whether its prompt is computed and samples of it could not be started yet."""
        return self.computed and self.started < self.generation.request.n

    def ending(self) -> FinishReason | None:
        """Why the job has to end now, if it has to."""
        deadline = self.generation.request.deadline
        if self.generation.cancelled:
            return FinishReason.CANCELLED
        if deadline is not None and time.monotonic() - self.submitted >= deadline:
            return FinishReason.DEADLINE
        return None

    def completion(self) -> Completion:
        """What came of the job, once every sample is there."""
        samples = tuple(self.samples[i] for i in sorted(self.samples))
        usage = Usage(
            prompt_tokens=len(self.prompt),
            cached_tokens=self.cached_tokens,
            completion_tokens=sum(s.tokens for s in samples),
            seconds=time.monotonic() - self.submitted,
            first_token_seconds=None if self.first_token is None else self.first_token - self.submitted,
        )
        return Completion(samples=samples, usage=usage)


@dataclass(eq=False)
class Running:
    """One sample that is being generated."""

    job: Job
    index: int
    sequence: int
    position: int
    token: int
    sampler: Sampler
    assembler: TextAssembler
    text: str = ""
    tokens: int = 0
    logprob: float = 0.0
