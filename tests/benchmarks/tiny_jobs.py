"""Jobs that take the embedded model a second each, and what has to be equal wherever they are done."""

from __future__ import annotations

from collections.abc import Iterable

from leafwise.agents import read_inputs
from leafwise.agents.settings import Settings
from leafwise.benchmarks.contracts import Arm, Job
from leafwise.benchmarks.executors import Outcome
from leafwise.benchmarks.smoke import smoke_tasks
from leafwise.runtime.engine_options import EngineOptions

MODEL = "smollm2-135m"
OPTIONS = EngineOptions(context=768, running=2, threads=1, deterministic=True)


def tiny_jobs(count: int, tokens: int = 40) -> list[Job]:
    settings = Settings(strategy="direct", answer_tokens=tokens, max_tokens=tokens)
    arm = Arm(name="direct", model=MODEL, strategy="direct", settings=settings, fingerprint="test")
    tasks = smoke_tasks()
    return [
        Job(
            arm=arm,
            task_id=tasks[i % len(tasks)].id,
            task=read_inputs(tasks[i % len(tasks)].statement),
            sample=i // len(tasks),
            max_tokens=tokens,
        )
        for i in range(count)
    ]


def essence(outcomes: Iterable[Outcome]) -> list[list[object]]:
    """What does not depend on where and when a sample was made, sorted by job; a job that came twice is there twice."""
    found: list[list[object]] = []
    for outcome in outcomes:
        assert outcome.generated is not None, outcome.error
        sample = outcome.generated.sample
        kinds = [event.kind.value for event in outcome.generated.events]
        spent = [sample.seed, sample.calls, sample.prompt_tokens, sample.completion_tokens, sample.programs]
        found.append([*sample.key, sample.raw, sample.solution, sample.rule, sample.status.value, *spent, *kinds])
    return sorted(found, key=str)
