"""What the scheduler works on: jobs (requests on their way) and the samples that run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from leafwise.runtime.contracts import Completion, FinishReason, Piece, Request, Sample, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.llama import LlamaModel
from leafwise.runtime.llama_grammar import Grammar
from leafwise.runtime.lookup import PromptLookup
from leafwise.runtime.sampling import Distribution, Sampler
from leafwise.runtime.text import TextAssembler

_SEEDS = 2**32


@dataclass(eq=False)
class Job:
    """A request on its way through the scheduler."""

    generation: Generation
    prompt: list[int]
    grammar: str | None
    submitted: float = field(default_factory=time.monotonic)
    sequence: int | None = None
    """Where its prompt is computed; None before, and once its samples have what they need of it."""
    cached_tokens: int = 0
    done: int = 0
    """Prompt tokens that are computed."""
    started: int = 0
    first_token: float | None = None
    samples: dict[int, Sample] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """What was asked."""
        return self.generation.request

    @property
    def computed(self) -> bool:
        """Whether its whole prompt is in the cache."""
        return self.done == len(self.prompt)

    @property
    def waits_for_room(self) -> bool:
        """Whether its prompt is computed and samples of it could not be started yet."""
        return self.computed and self.started < self.request.n

    def ending(self) -> FinishReason | None:
        """Why the job has to end now, if it has to."""
        deadline = self.request.deadline
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


class Running:
    """One sample that generates.

    Args:
        model: where its tokens come from.
        job: whose sample it is.
        index: which one.
        sequence: where its tokens are computed.

    Raises:
        GrammarError: llama.cpp does not accept the job's grammar.
    """

    def __init__(self, model: LlamaModel, job: Job, index: int, sequence: int) -> None:
        request = job.request
        self._model = model
        self.job = job
        self.index = index
        self.sequence = sequence
        self.position = len(job.prompt) - 1
        """The place of `token`: that of the next row, or, at first, of the prompt's own last row."""
        self.token = job.prompt[-1]
        """The last token; its row is the next to draw from."""
        self.guesses: list[int] = []
        """What may follow it, computed along with it."""
        self._sampler = Sampler(request.sampling, (request.seed + index) % _SEEDS)
        self._grammar = Grammar(model, job.grammar, request.json_after) if job.grammar is not None else None
        self._lookup = PromptLookup(job.prompt) if request.lookup else None
        self._assembler = TextAssembler(request.stop)
        self._texts: list[str] = []
        self._tokens = 0
        self._logprob = 0.0
        self.finished: FinishReason | None = None

    def guess(self, most: int) -> None:
        """Guess what follows, at most so many tokens."""
        left = self.job.request.max_tokens - self._tokens - 1
        self.guesses = self._lookup.guess(min(most, left)) if self._lookup is not None else []

    def advance(self, first_row: int) -> int:
        """Take the tokens that follow the rows of the last batch, until a guess was wrong or the sample ends.

        Args:
            first_row: the row of `token`; those of the guesses follow it.

        Returns:
            How many of the rows were right, and stay in the cache.
        """
        guesses, right = self.guesses, 0
        for row in range(len(guesses) + 1):
            token = self._draw(Distribution(self._model.logits(first_row + row)))
            right += 1
            if self.finished or row == len(guesses) or token != guesses[row]:
                break
        if guesses and self._lookup is not None:
            self._lookup.tell(len(guesses), right - 1)
        self.position += right
        return right

    def _draw(self, distribution: Distribution) -> int | None:
        """Draw the next token and see whether the sample ends with it, or for want of one."""
        request = self.job.request
        token = self._choose(distribution)
        if token is None:
            self.finished = FinishReason.GRAMMAR
            return None
        if request.logprobs:
            self._logprob += distribution.log_probability(token)
        if self.job.first_token is None:
            self.job.first_token = time.monotonic()
        if self._lookup is not None:
            self._lookup.add(token)
        self.token = token
        self._tokens += 1
        ended = token in self._model.end_tokens
        if not ended:
            self._emit(self._assembler.add(self._model.piece(token)))
        if ended or self._assembler.stopped:
            self.finished = FinishReason.STOP
        elif self._tokens == request.max_tokens:
            whole = self._grammar is None or self._grammar.may_end
            self.finished = FinishReason.LENGTH if whole else FinishReason.GRAMMAR
        return token

    def _choose(self, distribution: Distribution) -> int | None:
        """The next token; None where the grammar has come to a point at which nothing can follow."""
        request, grammar = self.job.request, self._grammar
        if grammar is None:
            if self._tokens < request.min_tokens:
                distribution = distribution.without([*self._model.end_tokens])
            return self._sampler.draw(distribution)
        if grammar.active:
            token = int(distribution.logits.argmax())
            # looking at one token is much quicker than at all
            if not request.sampling.greedy or not grammar.allows(token):
                allowed = Distribution(grammar.restricted(distribution.logits))
                if allowed.top == -np.inf:
                    return None
                token = self._sampler.draw(allowed)
        else:
            token = self._sampler.draw(distribution)
            while not grammar.allows(token):
                distribution = distribution.without([token])
                token = self._sampler.draw(distribution)
        grammar.accept(token)
        return token

    def _emit(self, text: str) -> None:
        if text:
            self._texts.append(text)
            self.job.generation.push(Piece(sample=self.index, text=text, tokens=self._tokens))

    def end(self, reason: FinishReason) -> Sample:
        """What came of the sample."""
        self._emit(self._assembler.end())
        if self._grammar is not None:
            self._grammar.free()
        logprob = self._logprob if self.job.request.logprobs else None
        return Sample(text="".join(self._texts), finish_reason=reason, tokens=self._tokens, logprob=logprob)
