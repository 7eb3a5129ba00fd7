"""Measures selection on recorded samples: reads them, runs them in the sandbox, and scores the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

from leafwise.benchmarks.contracts import ProblemSet
from leafwise.benchmarks.recorded import Recorded
from leafwise.benchmarks.recorded_files import Reading
from leafwise.benchmarks.report import Machine, read_machine
from leafwise.benchmarks.select_outcomes import Outcomes, Tried, judge_candidates, try_candidates
from leafwise.benchmarks.select_pools import CHECKS, INPUTS, Pool, Trial, read_pool, whole_trial
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
    reading: Reading
    """What is left out, and what was not as it should be in the file; of the whole file, whatever tasks are chosen."""
    dataset_tasks: int
    """Tasks that the data set has."""
    tasks: int
    """Tasks that were measured."""
    solutions: int
    """Solutions that were read: the first ones, or all of them for the curve."""
    without_code: int
    """Those that hold no usable code: they count as wrong."""
    fewer_samples: int
    """Tasks with fewer solutions than were asked for."""
    fewer_checks: int
    """Tasks with fewer check texts than were asked for."""
    check_texts: int
    """Check texts that were read."""
    without_checks: int
    """Those that hold no check that can be used."""
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


def read_pools(
    problems: ProblemSet, recorded: Sequence[Recorded], options: SelectOptions, advance: Callable[[], None]
) -> list[Pool]:
    """Read what was recorded: all of it for the curve, the first samples otherwise; `advance` is called per task."""
    known = {problem.id: problem for problem in problems.problems}
    most = max(map(len, (t for one in recorded for t in (one.solutions, one.checks))), default=0)
    solutions, checks = (most, most) if options.curve else (options.samples, options.checks)
    pools = []
    for one in recorded:
        pools.append(read_pool(known[one.task_id], one, solutions, checks))
        advance()
    return pools


def sizes_of(pool: Pool, options: SelectOptions) -> list[int]:
    """Numbers of samples on the curve that a task takes part in: as far as it has samples."""
    return [size for size in CURVE if size <= len(pool.modules)] if options.curve else []


def modules_of(pools: Sequence[Pool]) -> int:
    """Different programs to be run."""
    return sum(len({module for module in pool.modules if module}) for pool in pools)


def scores_of(pools: Sequence[Pool], options: SelectOptions) -> int:
    """How often `report_of` says that it went on."""
    return len(options.examples) * sum(1 + len(sizes_of(pool, options)) for pool in pools)


def trials_of(pools: Sequence[Pool], options: SelectOptions, advance: Callable[[], None]) -> list[Trial]:
    """What the candidates of each task have to be run on, for all draws together; `advance` is called per task."""
    wholes = []
    for pool in pools:
        draws = [pool.first(options.samples, options.checks)]
        draws += [d for size in sizes_of(pool, options) for d in pool.draws(size, draws_of(size), options.seed)]
        trials = [pool.trial(draw, options.seed, examples=shown) for draw in draws for shown in options.examples]
        wholes.append(whole_trial(trials))
        advance()
    return wholes


def run_pools(
    pools: Sequence[Pool],
    wholes: Sequence[Trial],
    sandbox: Sandbox,
    outcomes: Outcomes,
    workers: int,
    advance: Callable[[], None],
) -> list[Tried]:
    """Run every candidate for its evidence, and then have it judged by the hidden tests.

    Args:
        pools: the recorded answers.
        wholes: see `trials_of`.
        sandbox: runs them.
        outcomes: those that are there are not run again.
        workers: programs that run at once.
        advance: is called twice per module.

    Raises:
        SandboxError: the sandbox failed.
        BenchmarkError: an outcome can't be kept.
    """
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
    file: str,
    problems: ProblemSet,
    tried: Sequence[Tried],
    options: SelectOptions,
    level: SandboxLevel,
    reading: Reading,
    advance: Callable[[], None],
) -> SelectReport:
    """Score the rules.

    Args:
        file: the name of the recorded samples' file.
        problems: the data set.
        tried: the candidates after they were run.
        options: what to measure.
        level: the sandbox's.
        reading: what was not as it should be in the file.
        advance: is called `scores_of` times.
    """
    pools = [one.pool for one in tried]
    seed = options.seed
    rows, curve = list[Row](), list[Row]()
    for shown in options.examples:
        rows += rows_of_first(tried, options.samples, options.checks, seed, advance, examples=shown)
    for shown in options.examples:
        for size in sorted({size for pool in pools for size in sizes_of(pool, options)}):
            curve += rows_of_curve(tried, size, seed, advance, examples=shown)
    return SelectReport(
        file=file,
        dataset=problems.name,
        dataset_source=problems.source,
        dataset_sha256=problems.sha256,
        options=options,
        reading=reading,
        dataset_tasks=len(problems.problems),
        tasks=len(pools),
        solutions=sum(len(pool.modules) for pool in pools),
        without_code=sum(not module for pool in pools for module in pool.modules),
        fewer_samples=sum(len(pool.modules) < options.samples for pool in pools),
        fewer_checks=sum(len(pool.checks) < options.checks for pool in pools),
        check_texts=sum(len(pool.checks) for pool in pools),
        without_checks=sum(not checks for pool in pools for checks in pool.checks),
        level=level,
        machine=read_machine(),
        leafwise=version("leafwise"),
        rows=tuple(rows),
        curve=tuple(curve),
    )
