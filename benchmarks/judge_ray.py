"""Answers judged by the machines of a Ray cluster, each with a sandbox of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from leafwise.benchmarks.code_hash import code_identity
from leafwise.benchmarks.contracts import Judgement, Problem
from leafwise.benchmarks.dispatch import Lost, dispatch
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_judging import Chunk, Judged, JudgeSetup, as_json
from leafwise.benchmarks.executor_ray_crew import PATIENCE, Cluster, RayCrew
from leafwise.benchmarks.judge import Answer
from leafwise.runtime.sandbox_contracts import SandboxLevel

CHUNK = 32
"""Answers that are judged together, at most."""


class RayJudge:
    """Judges answers on a Ray cluster; what a node that dies was judging is judged again elsewhere.

    It is for several machines only. On one machine, `judge_samples` uses every core already: the sandbox's workers are
    processes, one per core.

    Every node needs the same leafwise, which is checked. Verdicts are those of `judge_samples`, with one difference:
    a time-out's quiet re-run comes at the end of its chunk, with nothing else in the sandbox of that worker. Where a
    node has several workers, the others go on meanwhile.

    Args:
        address: of the cluster, `HOST:PORT` or `auto`.
        problems: the problems that answers may be for; with their hidden tests they are sent to the nodes.
        level: the sandboxes' level; None for the best that works on each node, which may differ: a verdict says which.
        workers: actors; None is one per node.
        identity: says, here and on each node, what code runs.
        patience: seconds without a single worker after which judging gives up.

    Raises:
        BenchmarkError: the package `ray` is missing, or there is no such cluster.
    """

    def __init__(
        self,
        address: str,
        problems: Iterable[Problem],
        level: SandboxLevel | None = None,
        workers: int | None = None,
        identity: Callable[[], str] = code_identity,
        patience: float = PATIENCE,
    ) -> None:
        known = tuple(problems)
        self._tasks = {problem.id for problem in known}
        cluster = Cluster(address, workers)
        self._workers = cluster.workers
        setup = JudgeSetup(problems=known, sandbox=level, sandbox_workers=cluster.threads)
        # one chunk at once: the quiet re-runs need a sandbox that does nothing else
        self._crew = RayCrew(cluster, as_json(setup), 1, identity, patience)

    def judge(self, answers: Iterable[Answer]) -> Iterator[Judgement]:
        """Judge answers, and give their judgements chunk by chunk, in any order.

        A chunk whose worker was lost is judged again, twice at most. Closing the iterator gives up what is not judged.

        Args:
            answers: all are read before the first is judged.

        Raises:
            BenchmarkError: an answer is for none of the problems; a node has other code; there is no worker left; or,
                after all others were given, chunks took their worker along every time.
            SandboxError: a sandbox failed; never given as a verdict.
        """
        todo = list(answers)
        for answer in todo:
            if answer.task_id not in self._tasks:
                hint = "judge with the data set that the answers are for"
                raise BenchmarkError(f"there is no task {answer.task_id}", hint)
        chunks = chunks_of(todo, self._workers)
        lost: dict[int, str] = {}
        for number, result in dispatch([as_json(chunk) for chunk in chunks], self._crew):
            if isinstance(result, Lost):
                lost[number] = result.why
            else:
                yield from Judged.model_validate(json.loads(result)).judgements
        if lost:
            tasks = sorted({answer.task_id for number in lost for answer in chunks[number].answers})
            count = sum(len(chunks[number].answers) for number in lost)
            said = f"{count} answers to {', '.join(tasks[:3])}{' ...' if len(tasks) > 3 else ''} were not judged"
            raise BenchmarkError(f"{said}: {next(iter(lost.values()))}", "look at `ray status`, and judge again")

    @property
    def in_flight(self) -> dict[str, int]:
        """Chunks that are being judged on each node that is ready, by the node's id."""
        return self._crew.in_flight

    def close(self) -> None:
        """End the actors, and disconnect. Closing twice is fine."""
        self._crew.close()


def chunks_of(answers: Sequence[Answer], workers: int) -> list[Chunk]:
    """Answers as units of about the same size, each of few tasks: a node that meets a task prepares its tests once.

    Args:
        answers: to be judged.
        workers: that get a share each, even where there are few answers.
    """
    order = {task_id: place for place, task_id in enumerate(dict.fromkeys(answer.task_id for answer in answers))}
    grouped = sorted(answers, key=lambda answer: order[answer.task_id])
    size = max(1, min(CHUNK, math.ceil(len(grouped) / workers)))
    return [Chunk(answers=tuple(grouped[start : start + size])) for start in range(0, len(grouped), size)]
