"""The smoke set: ten small tasks that show in a minute whether model, team and sandbox work together.

The tasks' own examples are all there is to check with, and the team sees them: a smoke test, not a score.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources

from leafwise.agents import AnswerStatus, Settings, read_inputs, solve
from leafwise.agents.strategies import with_strategy
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine import Engine
from leafwise.runtime.sandbox import Sandbox


class SmokeTask(Contract):
    """One small task."""

    id: str
    """Its name."""
    statement: str
    """What is asked for, with examples."""


class SmokeResult(Contract):
    """What one strategy made of one task."""

    task: str
    """The task's id."""
    strategy: str
    """The strategy."""
    status: AnswerStatus
    """What may be claimed about the answer."""
    origin: str | None
    """The stage the answer comes from."""
    tokens: int
    """Tokens generated."""
    calls: int
    """Requests to the model."""
    seconds: float
    """Wall-clock time."""
    statement: str
    """What was checked and what was not."""


def smoke_tasks() -> tuple[SmokeTask, ...]:
    """The ten tasks."""
    text = (resources.files("leafwise.benchmarks") / "smoke.jsonl").read_text(encoding="utf-8")
    return tuple(SmokeTask(**json.loads(line)) for line in text.splitlines())


def run_smoke(
    engine: Engine,
    sandbox: Sandbox,
    strategies: Sequence[str],
    *,
    seed: int = 0,
    tasks: Sequence[SmokeTask] | None = None,
    done: Callable[[SmokeResult], None] | None = None,
) -> list[SmokeResult]:
    """Run every strategy on every task.

    Args:
        engine: runs the model.
        sandbox: runs the programs.
        strategies: which to run.
        seed: all sampling derives from it.
        tasks: all ten by default.
        done: told each result.

    Raises:
        BenchmarkError: a task of the set has no example to check with.
    """
    results: list[SmokeResult] = []
    for strategy in strategies:
        for task in tasks if tasks is not None else smoke_tasks():
            inputs = read_inputs(task.statement)
            if not inputs.examples:
                raise BenchmarkError(f"task {task.id} has no example")
            answer = solve(inputs, model=engine, sandbox=sandbox, settings=with_strategy(Settings(seed=seed), strategy))
            results.append(
                SmokeResult(
                    task=task.id,
                    strategy=strategy,
                    status=answer.status,
                    origin=answer.origin,
                    tokens=answer.spent.completion_tokens,
                    calls=answer.spent.calls,
                    seconds=answer.spent.seconds,
                    statement=answer.statement,
                )
            )
            if done:
                done(results[-1])
    return results
