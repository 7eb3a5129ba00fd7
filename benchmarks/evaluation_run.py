"""A measured run from its first answer to its reports, arm by arm."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from pathlib import Path

from leafwise.agents.contracts import AnswerStatus, Task
from leafwise.agents.errors import TaskError
from leafwise.benchmarks.contracts import Arm, ProblemSet
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.evaluation import Evaluation
from leafwise.benchmarks.evaluation_view import Progress, RunView
from leafwise.benchmarks.executors import Executor
from leafwise.benchmarks.problems import choose_ids, task_of

OpenExecutor = Callable[[Arm], Executor]
"""Opens what generates an arm's answers: each arm begins with a cold engine, so that none profits from another."""


def choose_tasks(problems: ProblemSet, chosen: str = "", limit: int | None = None) -> tuple[str, ...]:
    """Ids of the tasks to ask; see `choose_ids`."""
    return choose_ids([problem.id for problem in problems.problems], chosen, limit)


def unaskable(problems: ProblemSet, tasks: Collection[str], *, leave_out: bool) -> dict[str, str]:
    """Tasks that the team cannot read, such as those for asynchronous functions, and why.

    Args:
        problems: the data set.
        tasks: ids of those that are going to be asked.
        leave_out: go on without them.

    Raises:
        BenchmarkError: there are some, and nobody asked to go on, or no other is left.
    """
    found = {}
    for problem in problems.problems:
        try:
            if problem.id in tasks:
                task_of(problem)
        except TaskError as error:
            found[problem.id] = error.message
    if found and (not leave_out or len(found) == len(tasks)):
        told = "; ".join(f"{task}: {why}" for task, why in found.items())
        hint = "ask for others: --tasks" if leave_out else "leave them out: --leave-out-broken"
        raise BenchmarkError(f"{len(found)} tasks cannot be asked: {told}", hint)
    return found


def in_running_order(arms: Sequence[Arm]) -> list[Arm]:
    """Arms that match another's tokens come after it."""
    return sorted(arms, key=lambda arm: arm.matches is not None)


def progress_of(run: Evaluation) -> dict[str, Progress]:
    """How far each arm is, in the order they run."""
    found = {}
    for arm in in_running_order(run.manifest.arms):
        done = run.done(arm)
        total = len(run.manifest.tasks) * run.manifest.samples
        passing = sum(sample.status is AnswerStatus.PASSED for sample in done)
        found[arm.name] = Progress(arm.name, total, done=len(done), found=len(done), passing=passing)
    return found


def generate_answers(
    run: Evaluation, problems: ProblemSet, open_executor: OpenExecutor, view: RunView, progress: dict[str, Progress]
) -> list[str]:
    """Generate every answer that is missing.

    Args:
        run: the directory.
        problems: the data set.
        open_executor: see `OpenExecutor`.
        view: is shown how it goes.
        progress: of every arm.

    Returns:
        What the machinery could not do, a line each: those answers are missing.

    Raises:
        LeafwiseError: nothing can be done at all; what is done is kept.
    """
    asked = set(run.manifest.tasks)
    tasks = {problem.id: task_of(problem) for problem in problems.problems if problem.id in asked}
    errors: list[str] = []
    for arm in in_running_order(run.manifest.arms):
        errors += _generate_arm(run, arm, tasks, open_executor, view, progress[arm.name])
    return errors


def _generate_arm(
    run: Evaluation,
    arm: Arm,
    tasks: dict[str, Task],
    open_executor: OpenExecutor,
    view: RunView,
    state: Progress,
) -> list[str]:
    jobs = run.missing(arm, tasks)
    if not jobs:
        return []
    errors: list[str] = []
    state.started = time.monotonic()
    with closing(open_executor(arm)) as executor:
        for outcome in run.generate(jobs, executor):
            if outcome.generated is None:
                state.errors += 1
                errors.append(f"{arm.name}, {outcome.job.task_id}: {outcome.error}")
            else:
                state.add(outcome.generated.sample)
            view.show(state)
    state.ended = time.monotonic()
    view.show(state)
    return errors


def missing_error(errors: Sequence[str], directory: Path) -> BenchmarkError:
    """What to say when answers are missing."""
    first = "; ".join(errors[:3])
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return BenchmarkError(
        f"{len(errors)} answers could not be had, and scores are without them: {first}{more}",
        f"mend it and go on: the same command with --resume (what is there is kept in {directory})",
    )
