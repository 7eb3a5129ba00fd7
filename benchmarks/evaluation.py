"""A measured run in its directory: what is asked, the samples that are there, what is missing, and the verdicts.

Everything is kept as it comes: a killed run goes on where it was, and generating and judging know nothing of each other
but the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from leafwise.agents.contracts import Task
from leafwise.benchmarks.contracts import Arm, Generated, Job, Judgement, Manifest, ProblemSet, Sample
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executors import Executor, Outcome
from leafwise.benchmarks.journal import Journal
from leafwise.benchmarks.judge import Answer
from leafwise.benchmarks.manifest import merged, read_manifest, write_manifest
from leafwise.benchmarks.sample_judging import valid_verdicts
from leafwise.benchmarks.traces import trace_path, write_trace
from leafwise.runtime.paths import check_writable

MANIFEST, SAMPLES, VERDICTS = "manifest.json", "samples.jsonl", "verdicts.jsonl"
_SHORTEST_BUDGET = 16
Judge = Callable[[Sequence[Answer]], Iterator[Judgement]]
"""Gives the judgements of answers, in any order."""


def plan_run(directory: Path, manifest: Manifest, *, resume: bool) -> Manifest:
    """What a run is going to be, with what its directory holds already; makes and changes nothing.

    Args:
        directory: of the run; it may not be there yet.
        manifest: what is asked.
        resume: go on with what the directory holds.

    Raises:
        BenchmarkError: the directory holds a run and `resume` is not set, or a different run, or can't be made.
    """
    path = directory / MANIFEST
    made = next(place for place in (path.absolute(), *path.absolute().parents) if place.parent.exists())
    if not made.parent.is_dir():
        raise BenchmarkError(f"cannot make {directory}: {made.parent} is no directory", "choose another place")
    try:
        check_writable(made)
    except OSError as error:
        raise BenchmarkError(f"cannot write in {made.parent}: {error.strerror}", "choose another place") from error
    if not path.exists():
        return manifest
    if not resume:
        raise BenchmarkError(f"{directory} holds a run already", "add --resume to go on with it, or choose another")
    return merged(read_manifest(path), manifest)


class Evaluation:
    """A run's directory, held by one process; also a context manager.

    Args:
        directory: made if it is not there.
        manifest: what the run is to be.
        resume: go on with what the directory holds.

    Raises:
        BenchmarkError: the directory holds a run and `resume` is not set, or a different run, or can't be written.
    """

    def __init__(self, directory: Path, manifest: Manifest, *, resume: bool) -> None:
        self.directory = directory
        self.manifest = plan_run(directory, manifest, resume=resume)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchmarkError(f"cannot make {directory}: {error.strerror}", "choose another place") from error
        with ExitStack() as stack:
            self._samples = stack.enter_context(Journal(directory / SAMPLES, Sample))
            self._verdicts = stack.enter_context(Journal(directory / VERDICTS, Judgement))
            self.samples = {sample.key: sample for sample in self._samples.found}
            self._refuse_strangers()
            write_manifest(directory / MANIFEST, self.manifest)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _refuse_strangers(self) -> None:
        fingerprints = {arm.name: arm.fingerprint for arm in self.manifest.arms}
        for sample in self._samples.found:
            if fingerprints.get(sample.arm) != sample.fingerprint:
                where = f"{self.directory / SAMPLES}: arm {sample.arm}, task {sample.task_id}"
                raise BenchmarkError(f"{where}: a sample of another run", "start in a new directory")

    # --- generating ------------------------------------------------------------------------------------------------

    def done(self, arm: Arm) -> list[Sample]:
        """The samples of an arm that are there, of the tasks that are asked."""
        wanted = set(self.manifest.tasks)
        return [s for s in self.samples.values() if s.arm == arm.name and s.task_id in wanted]

    def missing(self, arm: Arm, tasks: Mapping[str, Task]) -> list[Job]:
        """What an arm has still to do.

        An arm that matches another's tokens has nothing to do for tasks that the other has not answered.

        Args:
            arm: whose jobs.
            tasks: what the team gets of each problem.
        """
        jobs = []
        for index in range(self.manifest.samples):
            for task_id in self.manifest.tasks:
                budget = self._budget(arm, task_id, index)
                if budget is not None and (arm.name, task_id, index) not in self.samples:
                    job = Job(arm=arm, task_id=task_id, task=tasks[task_id], sample=index, max_tokens=budget)
                    jobs.append(job)
        return jobs

    def _budget(self, arm: Arm, task_id: str, index: int) -> int | None:
        if arm.matches is None:
            return arm.settings.max_tokens
        other = self.samples.get((arm.matches, task_id, index))
        return None if other is None else max(_SHORTEST_BUDGET, other.completion_tokens)

    def generate(self, jobs: Sequence[Job], executor: Executor) -> Iterator[Outcome]:
        """Do jobs, and keep each sample with its trace before it is told of.

        Raises:
            LeafwiseError: nothing can be done at all; what is done is kept.
        """
        outcomes = executor.run(jobs)
        with closing(outcomes):  # type: ignore[type-var]  # a generator, whatever the protocol calls it
            for outcome in outcomes:
                if outcome.generated is not None:
                    self._keep(outcome.generated, outcome.joules)
                yield outcome

    def _keep(self, generated: Generated, joules: float | None) -> None:
        sample = generated.sample.model_copy(update={"joules": joules})
        write_trace(trace_path(self.directory, sample.arm, sample.task_id, sample.sample), generated.events)
        self._samples.append(sample)
        self.samples[sample.key] = sample

    # --- judging ---------------------------------------------------------------------------------------------------

    def judge(self, problems: ProblemSet, judge: Judge) -> None:
        """Judge every sample that has no valid verdict yet.

        Args:
            problems: the data set.
            judge: where it is done.

        Raises:
            SandboxError: the sandbox failed; the verdicts so far are kept.
        """
        answers = [
            Answer(task_id=s.task_id, arm=s.arm, sample=s.sample, module=s.solution) for s in self.samples.values()
        ]
        valid = valid_verdicts(problems, answers, self._verdicts.found, None)
        for verdict in judge([answer for place, answer in enumerate(answers) if place not in valid]):
            self._verdicts.append(verdict)
