"""Where jobs are done: the seam between what has to be generated and the processes or machines that generate it.

Tasks are the unit: an executor is given jobs and gives back one outcome per job, in any order. Whoever is behind it
(threads around one engine here, processes, a Ray cluster) changes nothing in what a sample is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from leafwise.benchmarks.contracts import Generated, Job


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    """The job."""
    generated: Generated | None
    """Its sample; None if the machinery failed."""
    error: str = ""
    """Why there is none. Never scored as an answer; a resumed run tries again."""
    joules: float | None = None
    """Energy that the machine used since the last outcome; None without a sensor."""


class Executor(Protocol):
    """Generates samples."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Do jobs, and give each outcome when it is there.

        Closing the iterator early gives up the jobs that are not done.

        Raises:
            LeafwiseError: nothing can be done at all, for example because the model does not load.
        """
        ...

    def close(self) -> None:
        """Free engines, sandboxes and processes. Closing twice is fine."""
        ...
