"""What a machine that judges for another one opens and does: a sandbox, hidden tests, and a chunk of answers a unit.

Text crosses as JSON in ASCII: what a model wrote may hold lone surrogates, which UTF-8 can not.
"""

from __future__ import annotations

import json
from typing import Literal

from leafwise.benchmarks.contracts import Judgement, Problem
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel


class JudgeSetup(Contract):
    """A station that judges. Hidden tests cross in here and nowhere else."""

    kind: Literal["judge"] = "judge"
    problems: tuple[Problem, ...]
    """With their hidden tests."""
    sandbox: SandboxLevel | None
    """The sandbox's level; None for the best that works there."""
    sandbox_workers: int | None
    """Programs that run at once; None is one per core."""


class Chunk(Contract):
    """A unit of judging."""

    answers: tuple[Answer, ...]
    """What is judged together."""


class Judged(Contract):
    """What a judging station gives for a chunk."""

    judgements: tuple[Judgement, ...]
    """One per answer, in any order."""


class JudgingStation:
    """Judges chunks of answers, one chunk at a time. See `Station`.

    A chunk's time-outs are run again, each alone in this sandbox, when the rest of the chunk is done. What HumanEval+
    expects is computed by each machine for the tasks that it meets, and kept in the cache there.

    Args:
        setup: what to open.

    Raises:
        SandboxError: there is no such sandbox here.
    """

    def __init__(self, setup: JudgeSetup) -> None:
        self._problems = setup.problems
        self._sandbox = open_sandbox(setup.sandbox, workers=setup.sandbox_workers)

    def do(self, unit: str) -> str:
        """See `Station.do`."""
        chunk = Chunk.model_validate(json.loads(unit))
        return as_json(Judged(judgements=tuple(judge_samples(self._problems, chunk.answers, self._sandbox))))

    def close(self) -> None:
        """See `Station.close`."""
        self._sandbox.close()


def as_json(item: Contract) -> str:
    """A contract as JSON in ASCII; `json.loads` and `model_validate` read it."""
    return json.dumps(item.model_dump())
