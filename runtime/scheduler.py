"""Continuous batching: which tokens of which requests are computed in the next batch.

A job's prompt is computed once, in a sequence of its own, which stays in the cache for later prompts that begin alike;
each sample runs in a copy of it. Jobs are admitted in the order they came, when everything that they can grow to has
room in the cache, so nothing that runs is ever cut for lack of cells and nobody is overtaken for ever.
"""

from __future__ import annotations

import logging
import time
from collections import deque

from leafwise.runtime.contracts import Completion, FinishReason, Sample
from leafwise.runtime.errors import EngineError, LeafwiseError
from leafwise.runtime.jobs import Job, Running
from leafwise.runtime.kv_cache import KVCache
from leafwise.runtime.llama import LlamaModel
from leafwise.runtime.llama_batch import Row
from leafwise.runtime.metering import Recorder
from leafwise.runtime.prefix_tree import common_length

log = logging.getLogger(__name__)

_WORTH_WAITING = 32
"""Tokens of a shared beginning below which it is quicker to compute them again than to wait for them."""
_PATIENCE = 0.5
"""Seconds that a step may take for prompts while samples generate: they wait for it."""
_CHUNKS = (512, 256, 128, 64, 32, 16)
"""Prompt tokens of such a step: steps of two, so that equal runs mostly get equal batches."""
_ROWS_WITH_GUESSES = 8
"""Rows up to which a batch is filled with guesses; a fuller one is limited by arithmetic, and a row costs its share."""


class Scheduler:
    """Turns jobs into batches. Not thread-safe: one thread calls it.

    Args:
        model: what computes.
        running: samples that may generate at once.
        deterministic: compute one job after the other, each from an empty cache.
        recorder: is told what was done.
    """

    def __init__(self, model: LlamaModel, running: int, recorder: Recorder, *, deterministic: bool = False) -> None:
        self._model = model
        self._most_running = running
        self._recorder = recorder
        self._deterministic = deterministic
        self.cache = KVCache(model, running)
        """The books of the cache."""
        self._waiting: deque[Job] = deque()
        self._jobs: list[Job] = []
        self._running: list[Running] = []
        self._sampling_seconds = 0.0
        self._row_seconds = 0.0

    def add(self, job: Job) -> None:
        """Take a job; it may have to wait for room."""
        self._waiting.append(job)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting or self._jobs)

    def fail_all(self, error: LeafwiseError) -> None:
        """End every job with an error."""
        for sample in self._running:
            sample.end(FinishReason.CANCELLED)
        self._running.clear()
        for job in [*self._waiting, *self._jobs]:
            self._end_job(job, error)

    def step(self) -> None:
        """Compute one batch and hand out what came of it."""
        started = time.perf_counter()
        self._end_due_jobs()
        for job in list(self._jobs):
            if job.waits_for_room:
                self._start_samples(job, row=None)
        if not any(job.waits_for_room for job in self._jobs):  # or newer jobs would take the cells it waits for
            self._admit()
        rows = self._sample_rows()
        sample_rows, prompts = len(rows), self._add_prompt_rows(rows)
        if not rows:
            return
        before = time.perf_counter()
        self._model.decode(rows)
        computed = time.perf_counter()
        generating = len(self._running)
        if len(rows) - sample_rows >= _CHUNKS[-1]:
            self._row_seconds = (computed - before) / len(rows)
        self._take(prompts)
        ended = time.perf_counter()
        self._recorder.step(
            prompt_rows=len(rows) - sample_rows,
            decode_rows=sample_rows,
            running=generating,
            compute_seconds=computed - before,
            sampling_seconds=self._sampling_seconds,
            total_seconds=ended - started,
        )

    # admission

    def _admit(self) -> None:
        while self._waiting and len(self._jobs) < self._most_running:
            job = self._waiting[0]
            if self._deterministic:
                if self._jobs:
                    return
                self.cache.clear()
            elif self._is_being_computed(job.prompt, self.cache.longest(job.prompt) + _WORTH_WAITING):
                return
            opened = self.cache.open_prompt(job.prompt, job.request.max_tokens)
            if opened is None:
                return
            job.sequence, job.done = opened
            job.cached_tokens = job.done
            self._waiting.popleft()
            self._jobs.append(job)
            job.generation.begin()

    def _is_being_computed(self, prompt: list[int], length: int) -> bool:
        """Whether a job in prefill will soon have computed at least this much of the prompt: then waiting saves it."""
        return any(common_length(job.prompt, prompt) >= length for job in self._jobs if not job.computed)

    # the batch

    def _sample_rows(self) -> list[Row]:
        """A row for each sample's last token, and rows for what may follow it."""
        moved = self.cache.close_gaps()
        for sample in self._running:
            sample.sequence = moved.get(sample.sequence, sample.sequence)
        self._running.sort(key=lambda sample: sample.sequence)  # neighbours are computed together
        guesses = max(0, _ROWS_WITH_GUESSES - len(self._running)) // max(1, len(self._running))
        rows: list[Row] = []
        for sample in self._running:
            sample.guess(guesses)
            tokens = (sample.token, *sample.guesses)
            rows += [Row(t, sample.position + i, sample.sequence, True) for i, t in enumerate(tokens)]
        return rows

    def _add_prompt_rows(self, rows: list[Row]) -> list[tuple[int, Job]]:
        """Add stretches of prompts to the batch.

        Returns:
            The jobs whose prompt ends in it, each with its last token's row.
        """
        room = self._model.options.n_batch - len(rows)
        if rows and not self._deterministic:
            room = min(room, next((chunk for chunk in _CHUNKS if chunk * self._row_seconds <= _PATIENCE), _CHUNKS[-1]))
        chunks: list[tuple[Job, list[int]]] = []
        for job in self._jobs:
            chunk = job.prompt[job.done : job.done + room]
            room -= len(chunk)
            if chunk:
                chunks.append((job, chunk))
        ended: list[tuple[int, Job]] = []
        for job, chunk in sorted(chunks, key=lambda item: item[0].sequence or 0):
            assert job.sequence is not None
            last = len(job.prompt) - 1
            rows += [Row(t, job.done + i, job.sequence, job.done + i == last) for i, t in enumerate(chunk)]
            job.done += len(chunk)
            self.cache.append(job.sequence, chunk)
            if job.computed:
                ended.append((len(rows) - 1, job))
        return ended

    def _take(self, prompts: list[tuple[int, Job]]) -> None:
        """Draw the tokens that follow the batch's rows."""
        self._sampling_seconds, row = 0.0, 0
        for sample in list(self._running):
            tokens = [sample.token, *sample.guesses]
            self._advance(sample, row, tokens)
            row += len(tokens)
        for row, job in prompts:
            self._start_samples(job, row)

    def _advance(self, sample: Running, row: int, tokens: list[int]) -> None:
        right = self._draw(sample, row)
        self.cache.append(sample.sequence, tokens[:right])
        if right < len(tokens):
            self._model.cut(sample.sequence, sample.position)
        if len(tokens) > 1:
            self._recorder.guesses(len(tokens) - 1, right - 1)
        self._end_if_finished(sample)

    def _draw(self, sample: Running, row: int) -> int:
        before = time.perf_counter()
        right = sample.advance(row)
        self._sampling_seconds += time.perf_counter() - before
        return right

    # samples

    def _start_samples(self, job: Job, row: int | None) -> None:
        """Start as many of the job's samples as fit.

        Args:
            job: its prompt is computed.
            row: the row of the prompt's last token in the last batch; None computes that token once more.
        """
        while job.started < job.request.n:
            assert job.sequence is not None
            length = len(job.prompt) if row is not None else len(job.prompt) - 1
            # the first sample's cells were promised with the prompt
            sequence = self.cache.open_sample(job.sequence, length, job.request.max_tokens, promised=job.started == 0)
            if sequence is None:
                return
            try:
                sample = Running(self._model, job, job.started, sequence)
            # this request's boundary: whatever is wrong with it, the others go on
            except Exception as error:
                self.cache.close_sample(sequence)
                self._fail_job(job, error)
                return
            job.started += 1
            self._running.append(sample)
            if row is not None:
                self._draw(sample, row)
                self._end_if_finished(sample)
        self._release_prompt(job)

    def _release_prompt(self, job: Job) -> None:
        if job.sequence is not None:
            self.cache.unpin(job.sequence)
            job.sequence = None

    def _end_if_finished(self, sample: Running) -> None:
        if sample.finished:
            self._end_sample(sample, sample.finished)

    def _end_sample(self, sample: Running, reason: FinishReason) -> None:
        self._running.remove(sample)
        self.cache.close_sample(sample.sequence)
        job = sample.job
        job.samples[sample.index] = sample.end(reason)
        if len(job.samples) == job.request.n:
            self._end_job(job, None)

    # endings

    def _end_due_jobs(self) -> None:
        for job in [*self._waiting, *self._jobs]:
            if reason := job.ending():
                for sample in [s for s in self._running if s.job is job]:
                    self._end_sample(sample, reason)
                for index in range(job.request.n):
                    job.samples.setdefault(index, Sample(text="", finish_reason=reason, tokens=0))
                self._end_job(job, None)

    def _fail_job(self, job: Job, error: Exception) -> None:
        """End a job, of which a sample could not be started."""
        for sample in [s for s in self._running if s.job is job]:
            self._end_sample(sample, FinishReason.CANCELLED)
        if not isinstance(error, LeafwiseError):
            log.error("a sample could not be started", exc_info=error)
            said = f"{type(error).__name__}: {error}"
            error = EngineError(f"the request could not be started: {said}", "please report this")
        self._end_job(job, error)

    def _end_job(self, job: Job, error: LeafwiseError | None) -> None:
        """Take the job out, keep its prompt as a cache, and answer the caller; nothing happens the second time."""
        if job in self._waiting:
            self._waiting.remove(job)
        if job in self._jobs:
            self._jobs.remove(job)
        self._release_prompt(job)
        if job.generation.done:
            return
        outcome: Completion | LeafwiseError = error or job.completion()
        if isinstance(outcome, Completion):
            self._recorder.request(outcome.usage)
        job.generation.finish(outcome)
