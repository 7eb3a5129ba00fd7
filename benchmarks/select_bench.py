"""Measures selection on recorded samples: reads them, runs them in the sandbox, and scores the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

from leafwise.benchmarks.contracts import ProblemSet
from leafwise.benchmarks.recorded import Recorded
from leafwise.benchmarks.report import Machine, read_machine
from leafwise.benchmarks.select_outcomes import Outcomes, Tried, judge_candidates, try_candidates
from leafwise.benchmarks.select_pools import CHECKS, INPUTS, Pool, read_pool, whole_trial
from leafwise.benchmarks.select_scores import CURVE, Row, draws_of, rows_of_curve, rows_of_first
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel


class SelectOptions(Contract):
    """What to measure."""

    samples: int
    """Solutions of each task: the first ones."""
    checks: int
    """Check texts of each task: the first ones."""
    examples: tuple[bool, ...]
    """With the visible examples, without, or both."""
    curve: bool
    """Whether to draw smaller numbers of samples from all of them."""
    seed: int
    """Of generated inputs and of draws."""


class SelectReport(Contract):
    """What was measured."""

    file: str
    """The recorded samples' file name."""
    dataset: str
    """The data set's name."""
    dataset_source: str
    """Where it comes from."""
    dataset_sha256: str
    """Of its problems."""
    options: SelectOptions
    """What was asked for."""
    most_checks: int = CHECKS
    """Generated checks of a task, at most."""
    most_inputs: int = INPUTS
    """Generated inputs of a task, at most."""
    level: SandboxLevel
    """The sandbox level."""
    machine: Machine
    """Where it ran."""
    leafwise: str
    """The version."""
    rows: tuple[Row, ...]
    """The numbers: of the first samples."""
    curve: tuple[Row, ...]
    """The numbers of the curve."""


def read_pools(problems: ProblemSet, recorded: Sequence[Recorded], options: SelectOptions) -> list[Pool]:
    """Read what was recorded: all of it for the curve, the first samples otherwise."""
    known = {problem.id: problem for problem in problems.problems}
    most = max(map(len, (t for one in recorded for t in (one.solutions, one.checks))), default=0)
    solutions, checks = (most, most) if options.curve else (options.samples, options.checks)
    return [read_pool(known[one.task_id], one, solutions, checks) for one in recorded]


def sizes_of(pools: Sequence[Pool], options: SelectOptions) -> list[int]:
    """Numbers of samples on the curve: as far as there are samples."""
    most = max((len(pool.modules) for pool in pools), default=0)
    return [size for size in CURVE if size <= most] if options.curve else []


def modules_of(pools: Sequence[Pool]) -> int:
    """Different programs to be run."""
    return sum(len({module for module in pool.modules if module}) for pool in pools)


def run_pools(
    pools: Sequence[Pool],
    options: SelectOptions,
    sandbox: Sandbox,
    outcomes: Outcomes,
    workers: int,
    advance: Callable[[], None],
) -> list[Tried]:
    """Run every candidate for its evidence, and then have it judged by the hidden tests.

    Args:
        pools: the recorded answers.
        options: what to measure.
        sandbox: runs them.
        outcomes: those that are there are not run again.
        workers: programs that run at once.
        advance: is called twice per module.

    Raises:
        SandboxError: the sandbox failed.
        BenchmarkError: an outcome can't be kept.
    """
    wholes = []
    for pool in pools:
        draws = [pool.first(options.samples, options.checks)]
        draws += [d for size in sizes_of(pools, options) for d in pool.draws(size, draws_of(size), options.seed)]
        trials = [pool.trial(draw, options.seed, examples=shown) for draw in draws for shown in options.examples]
        wholes.append(whole_trial(trials))
    evidence = [
        try_candidates(pool, whole, sandbox, outcomes, workers, advance)
        for pool, whole in zip(pools, wholes, strict=True)
    ]
    verdicts = judge_candidates(pools, sandbox, outcomes, advance)
    return [
        Tried(pool, whole, seen, verdicts[pool.problem.id])
        for pool, whole, seen in zip(pools, wholes, evidence, strict=True)
    ]


def report_of(
    file: str, problems: ProblemSet, tried: Sequence[Tried], options: SelectOptions, level: SandboxLevel
) -> SelectReport:
    """Score the rules.

    Args:
        file: the name of the recorded samples' file.
        problems: the data set.
        tried: the candidates after they were run.
        options: what to measure.
        level: the sandbox's.
    """
    rows = [
        row
        for shown in options.examples
        for row in rows_of_first(tried, options.samples, options.checks, options.seed, examples=shown)
    ]
    curve = [
        row
        for shown in options.examples
        for size in sizes_of([one.pool for one in tried], options)
        for row in rows_of_curve(tried, size, options.seed, examples=shown)
    ]
    return SelectReport(
        file=file,
        dataset=problems.name,
        dataset_source=problems.source,
        dataset_sha256=problems.sha256,
        options=options,
        level=level,
        machine=read_machine(),
        leafwise=version("leafwise"),
        rows=tuple(rows),
        curve=tuple(curve),
    )
