"""Continuous batching: which tokens of which sequences are computed in the next step.

A request becomes a `Job`. Its prompt is computed once, in chunks, in a *prefix* sequence; each of its n samples then
runs in a sequence of its own that shares the prefix's cells. Prefixes of finished jobs stay as a cache until their
cells or numbers are needed. Every step's batch holds one row per running sample, so that decoding never waits for
prefill, and fills up with prompt chunks in order of arrival.

Cells are reserved before a job starts and before a sample starts, for the longest it may become: a running sequence can
never run out of them, new work waits instead.
"""

from __future__ import annotations

import time
from collections import deque

from leafwise.runtime.contracts import FinishReason, Piece, Sample
from leafwise.runtime.errors import GrammarError, LeafwiseError
from leafwise.runtime.jobs import Job, Prefix, Running
from leafwise.runtime.llama import LlamaModel, Row
from leafwise.runtime.llama_sampler import Sampler
from leafwise.runtime.text import TextAssembler

_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this one as "choose any"


_WORTH_WAITING = 16  # tokens of a shared beginning


class Scheduler:
    """Decides what each step computes; owns sequences and cells. Used from one thread only.

    Args:
        model: the model; `model.options` gives cells, sequences and rows per step.
        running: most samples that generate at once; the other sequences hold prefixes.
    """

    def __init__(self, model: LlamaModel, running: int) -> None:
        self._model = model
        self._free = list(range(model.options.n_seq_max))
        self._max_running = running
        self._waiting: deque[Job] = deque()
        self._jobs: list[Job] = []
        self._running: list[Running] = []
        self._prefixes: list[Prefix] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is to be computed."""
        return not (self._waiting or self._jobs)

    def add(self, job: Job) -> None:
        """Queue a job."""
        self._waiting.append(job)

    def fail_all(self, error: LeafwiseError) -> None:
        """End every job with an error."""
        for sample in self._running:
            sample.sampler.free()
        for job in (*self._waiting, *self._jobs):
            job.generation.finish(error)
        self._waiting.clear()
        self._jobs.clear()
        self._running.clear()

    def step(self) -> None:
        """Compute one batch and hand out what came of it."""
        self._end_due_jobs()
        for job in list(self._jobs):
            if job.waits_for_room:
                self._start_samples(job, row=None)
        if not any(job.waits_for_room for job in self._jobs):  # or newer jobs would take the cells it waits for
            self._admit()
        rows = [Row(s.token, s.position, s.sequence, True) for s in self._running]
        decoding = list(enumerate(self._running))
        prefilled = self._add_prompt_chunks(rows)
        if not rows:
            return
        self._model.decode(rows)
        for row, sample in decoding:
            sample.position += 1
            self._draw(sample, row)
        for row, job in prefilled:
            self._start_samples(job, row)

    # admission

    def _admit(self) -> None:
        while self._waiting and len(self._jobs) < self._max_running:
            job = self._waiting[0]
            source, shared = self._longest_match(job.prompt)
            if self._is_being_computed(job.prompt, shared + _WORTH_WAITING):
                return
            if source is not None:
                source.last_used = time.monotonic()  # the last to be dropped now
            if not self._make_room(len(job.prompt) + job.generation.request.max_tokens):
                return
            self._waiting.popleft()
            self._jobs.append(job)
            self._open_prefix(job, source if source in self._prefixes else None, shared)

    def _open_prefix(self, job: Job, source: Prefix | None, shared: int) -> None:
        # the last token is computed again: its logits are what the first sample is drawn from
        shared = min(shared, len(job.prompt) - 1) if source is not None else 0
        prefix = Prefix(self._free.pop(), job.prompt[:shared], users=1, last_used=time.monotonic())
        if source is not None and shared:
            self._model.copy(source.sequence, prefix.sequence, shared)
        job.prefix, job.cached_tokens = prefix, shared
        self._prefixes.append(prefix)

    def _is_being_computed(self, prompt: list[int], length: int) -> bool:
        """Whether a job in prefill will soon have computed at least this much of the prompt: then waiting saves it."""
        return any(_common_length(job.prompt, prompt) >= length for job in self._jobs if not job.computed)

    def _longest_match(self, prompt: list[int]) -> tuple[Prefix | None, int]:
        best: tuple[Prefix | None, int] = (None, 0)
        for prefix in self._prefixes:
            length = _common_length(prefix.tokens, prompt)
            if length > best[1]:
                best = (prefix, length)
        return best

    def _make_room(self, cells: int) -> bool:
        """Drop cached prefixes, oldest first, until a sequence number and the cells are free."""
        while self._cells_taken() + cells > self._model.options.context or not self._free:
            unused = [p for p in self._prefixes if p.users == 0]
            if not unused:
                return False
            self._drop(min(unused, key=lambda p: p.last_used))
        return True

    def _cells_taken(self) -> int:
        """Cells that are used or reserved; a prefix shared by several sequences is counted for each, to be safe."""
        growing = {id(job.prefix): len(job.prompt) for job in self._jobs}
        prompts = sum(growing.get(id(p), len(p.tokens)) for p in self._prefixes)
        unstarted = sum(job.generation.request.max_tokens for job in self._jobs if not job.started)
        return prompts + unstarted + sum(s.job.generation.request.max_tokens for s in self._running)

    def _drop(self, prefix: Prefix) -> None:
        self._prefixes.remove(prefix)
        self._release(prefix.sequence)

    def _release(self, sequence: int) -> None:
        self._model.forget(sequence)
        self._free.append(sequence)

    # prefill

    def _add_prompt_chunks(self, rows: list[Row]) -> list[tuple[int, Job]]:
        """Fill the batch with prompt tokens; return the jobs whose prompt ends in it, with its last token's row."""
        ended: list[tuple[int, Job]] = []
        for job in self._jobs:
            prefix = job.prefix
            assert prefix is not None
            start, room = len(prefix.tokens), self._model.options.n_batch - len(rows)
            chunk = job.prompt[start : start + room]
            last = len(job.prompt) - 1
            rows += [Row(t, start + i, prefix.sequence, start + i == last) for i, t in enumerate(chunk)]
            prefix.tokens += chunk
            if chunk and job.computed:
                ended.append((len(rows) - 1, job))
        return ended

    # samples

    def _start_samples(self, job: Job, row: int | None) -> None:
        """Start as many of the job's samples as fit.

        Args:
            job: its prompt is computed.
            row: the row of the prompt's last token in the last batch; None computes that token once more.
        """
        request, prefix = job.generation.request, job.prefix
        assert prefix is not None
        while job.started < request.n and len(self._running) < self._max_running:
            # the first sample's cells were reserved with the job
            if not self._make_room(request.max_tokens if job.started else 0):
                return
            index, length = job.started, len(job.prompt)
            try:
                sampler = Sampler(self._model, request.sampling, (request.seed + index) % _RANDOM_SEED, job.grammar)
            except GrammarError as error:
                self._end_job(job, error)
                return
            sequence = self._free.pop()
            job.started += 1
            shared = length if row is not None else length - 1
            self._model.copy(prefix.sequence, sequence, shared)
            sample = Running(job, index, sequence, shared, job.prompt[-1], sampler, TextAssembler(request.stop))
            self._running.append(sample)
            if row is not None:
                self._draw(sample, row)

    def _draw(self, sample: Running, row: int) -> None:
        """Draw a sample's next token and see whether it ends there."""
        job, request = sample.job, sample.job.generation.request
        token = sample.sampler.sample(row)
        if request.logprobs:
            sample.logprob += self._model.logprob(row, token)
        if job.first_token is None:
            job.first_token = time.monotonic()
        sample.token = token
        sample.tokens += 1
        ended = self._model.ends(token)
        if not ended:
            self._emit(sample, sample.assembler.add(self._model.piece(token)))
        if ended or sample.assembler.stopped:
            self._end_sample(sample, FinishReason.STOP)
        elif sample.tokens == request.max_tokens:
            self._end_sample(sample, FinishReason.LENGTH)

    def _emit(self, sample: Running, text: str) -> None:
        if text:
            sample.text += text
            sample.job.generation.push(Piece(sample=sample.index, text=text, tokens=sample.tokens))

    def _end_sample(self, sample: Running, reason: FinishReason) -> None:
        self._emit(sample, sample.assembler.end())
        sample.sampler.free()
        self._running.remove(sample)
        self._release(sample.sequence)
        job = sample.job
        job.samples[sample.index] = Sample(
            text=sample.text,
            finish_reason=reason,
            tokens=sample.tokens,
            logprob=sample.logprob if job.generation.request.logprobs else None,
        )
        if len(job.samples) == job.generation.request.n:
            self._end_job(job, None)

    # endings

    def _end_due_jobs(self) -> None:
        for job in [*self._waiting, *self._jobs]:
            if reason := job.ending():
                for sample in [s for s in self._running if s.job is job]:
                    self._end_sample(sample, reason)
                for index in range(job.generation.request.n):
                    job.samples.setdefault(index, Sample(text="", finish_reason=reason, tokens=0))
                self._end_job(job, None)

    def _end_job(self, job: Job, error: LeafwiseError | None) -> None:
        """Take the job out, keep its prefix as a cache, and answer the caller; nothing happens the second time."""
        if job in self._waiting:
            self._waiting.remove(job)
        if job in self._jobs:
            self._jobs.remove(job)
        if job.prefix is not None:
            job.prefix.users, job.prefix.last_used = 0, time.monotonic()
        job.generation.finish(error or job.completion())


def _common_length(left: list[int], right: list[int]) -> int:
    for i, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return i
    return min(len(left), len(right))
