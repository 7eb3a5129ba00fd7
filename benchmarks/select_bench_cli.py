"""`leafwise bench select`: how well the right one is found among recorded samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import DATASET_HELP, files_of, open_beside, scoring_level, self_check
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.results_cli import STDOUT, interruptible, refuse_places, save_json
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import ProblemSet
    from leafwise.benchmarks.recorded import Recorded
    from leafwise.benchmarks.select_bench import SelectOptions, SelectReport
    from leafwise.benchmarks.select_outcomes import Outcomes
    from leafwise.benchmarks.select_scores import Row


def select(
    recorded: Annotated[Path, typer.Argument(help="Recorded samples, as JSON lines (.jsonl, .gz).")],
    file: Annotated[Path | None, typer.Argument(help="The data set's file, for --dataset mbpp.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Solutions of each task: the first ones.")] = 20,
    checks: Annotated[int, typer.Option(min=0, max=1000, help="Check texts of each task: the first ones.")] = 20,
    no_examples: Annotated[bool, typer.Option("--no-examples", help="Measure without the visible examples only.")] = (
        False
    ),
    curve: Annotated[bool, typer.Option("--curve", help="Also draw 1, 2, 5, ... 100 of all the samples.")] = False,
    tasks: Annotated[str, typer.Option(help="Only these tasks: ids or their numbers, separated by commas.")] = "",
    half: Annotated[str, typer.Option(help="Only these tasks: even, odd.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Only so many tasks, the first ones; 0 is all.")] = 0,
    dataset: Annotated[str, typer.Option(help=DATASET_HELP)] = "humaneval",
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz: right means HumanEval+ too.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of generated inputs and of draws.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers; - prints them.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep what was run in this file, and don't run it again.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Programs that run at once; 0 is one per core.")] = 0,
    level: Annotated[str, typer.Option(help="Sandbox level: full, landlock; the best by default.")] = "",
) -> int:
    """Measure how well the team selects among recorded samples; needs no model.

    Lines have `task_id`, `prompt`, `solutions` (a list of texts that continue the prompt), and, for generated checks,
    `check_prompt` and `checks`. Visible examples are those of the data set's own prompts. The hidden tests judge what
    was selected, and nothing else sees them. Even tasks are there to tune on, odd ones to report.
    """
    from leafwise.benchmarks.recorded import read_recorded
    from leafwise.benchmarks.select_bench import SelectOptions

    refuse_places({"--json": json_file, "--keep": keep}, [recorded, *files_of(dataset, file, plus)])
    problems = open_beside(recorded, dataset, file, plus)
    chosen = _chosen(read_recorded(recorded, problems.problems), tasks, half, limit)
    shown = (False,) if no_examples else (True, False)
    options = SelectOptions(samples=samples, checks=checks, examples=shown, curve=curve, seed=seed)
    report = _measure(recorded.name, problems, chosen, options, _Where(keep, level, workers))
    try:
        save_json(json_file, report, "make room or choose another place; with --keep nothing is run again")
    finally:  # what was found is told, whatever became of the file
        _tell(report, as_json=json_file == STDOUT)
    return 0


@dataclass(frozen=True)
class _Where:
    """Where candidates are run, and where what came out is kept."""

    keep: Path | None
    level: str
    workers: int


def _measure(
    name: str, problems: ProblemSet, chosen: Sequence[Recorded], options: SelectOptions, where: _Where
) -> SelectReport:
    """Everything between the command line and the tables, with bars for what takes long."""
    from leafwise.benchmarks.select_bench import (
        modules_of,
        read_pools,
        report_of,
        run_pools,
        scores_of,
        trials_of,
    )
    from leafwise.runtime.sandbox import open_sandbox

    at_once = where.workers or len(os.sched_getaffinity(0))
    kept = f"what was run so far is in {where.keep}: the same command goes on"
    with (
        interruptible(where.keep, kept, "nothing is kept: --keep FILE keeps what was run"),
        _outcomes(where.keep) as outcomes,
        open_sandbox(scoring_level(where.level), workers=at_once) as sandbox,
    ):
        self_check(problems, sandbox, {one.task_id for one in chosen})
        with counter("reading", len(chosen)) as advance:
            pools = read_pools(problems, chosen, options, advance)
        with counter("making inputs", len(pools)) as advance:
            wholes = trials_of(pools, options, advance)
        with counter("running", 2 * modules_of(pools)) as advance:
            tried = run_pools(pools, wholes, sandbox, outcomes, at_once, advance)
        with counter("scoring", scores_of(pools, options)) as advance:
            return report_of(name, problems, tried, options, sandbox.level, advance)


def _chosen(recorded: Sequence[Recorded], tasks: str, half: str, limit: int) -> list[Recorded]:
    """The tasks that the command line names.

    Raises:
        BenchmarkError: one of them was not recorded, or none is left.
    """
    from leafwise.benchmarks.problems import half_of

    if half not in ("", "even", "odd"):
        raise BenchmarkError(f"there is no half {half!r}", "use --half even or --half odd")
    found = [one for one in recorded if not half or half_of(one.task_id) == half]
    wanted = [name.strip() for name in tasks.split(",") if name.strip()]
    for name in wanted:
        if not any(_is_named(one.task_id, name) for one in found):
            raise BenchmarkError(f"there is no task {name!r} among them", f"for example --tasks {recorded[0].task_id}")
    found = [one for one in found if not wanted or any(_is_named(one.task_id, name) for name in wanted)]
    if not found:
        raise BenchmarkError("there is no task to measure", "choose others with --tasks or --half")
    return found[:limit] if limit else found


def _is_named(task_id: str, name: str) -> bool:
    return name in (task_id, task_id.rpartition("/")[2])


@contextmanager
def _outcomes(keep: Path | None) -> Iterator[Outcomes]:
    from leafwise.benchmarks.journal import Journal
    from leafwise.benchmarks.select_outcomes import Outcome, Outcomes

    if keep is None:
        yield Outcomes()
        return
    with Journal(keep, Outcome, "give the same command again") as journal:
        yield Outcomes(journal)


def _tell(report: SelectReport, *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    options = report.options
    for line in _remarks(report):
        print(line)
    for shown in options.examples:
        print(f"{'with' if shown else 'without'} the visible examples, {_amount(options.samples, options.checks)}:")
        _print_rows([row for row in report.rows if row.examples == shown])
        if options.curve:
            print("random draws of so many samples, and as many check texts, of the tasks that have so many samples:")
            _print_curve([row for row in report.curve if row.examples == shown])


def _remarks(report: SelectReport) -> Iterator[str]:
    """What the numbers do not say by themselves."""
    if report.without_code:
        yield f"{report.without_code} of {report.solutions} solutions have no code, and count as wrong"
    if report.fewer_samples:
        yield f"tasks with fewer samples: {report.fewer_samples}; all that they have count"
    if report.fewer_checks:
        yield f"tasks with fewer check texts: {report.fewer_checks}"


def _amount(samples: int, checks: int) -> str:
    return f"the first {samples} samples and {checks} check texts of each task"


def _print_rows(rows: Sequence[Row]) -> None:
    """One line per rule, with columns for all tasks and both halves."""
    from leafwise.benchmarks.select_scores import RULES

    parts = list(dict.fromkeys(row.part for row in rows))
    lines = [["", *(f"{part}, 95 % interval" for part in parts)]]
    for rule, words in RULES.items():
        lines.append([words, *(_cell(row) for part in parts for row in rows if (row.part, row.rule) == (part, rule))])
    _print_table(lines)


def _cell(row: Row) -> str:
    low, high = 100 * row.interval.low, 100 * row.interval.high
    count = f"{row.right:.0f}" if row.right == round(row.right) else f"{row.right:.1f}"
    return f"{count}/{row.tasks} = {100 * row.right / row.tasks:.1f} % ({low:.1f}-{high:.1f})"


def _print_curve(rows: Sequence[Row]) -> None:
    from leafwise.benchmarks.select_scores import RULES

    lines = [["samples", "tasks", "draws", *RULES.values()]]
    for size in dict.fromkeys(row.samples for row in rows):
        mine = [row for row in rows if row.samples == size]
        rights = {row.rule: f"{row.right:.1f} = {100 * row.right / row.tasks:.1f} %" for row in mine}
        lines.append([str(size), str(mine[0].tasks), str(mine[0].draws), *(rights[rule] for rule in RULES)])
    _print_table(lines)


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
