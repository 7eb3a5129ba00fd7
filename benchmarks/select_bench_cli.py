"""`leafwise bench select`: how well the right one is found among recorded samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import (
    DATASET_HELP,
    LeaveOut,
    files_of,
    open_beside,
    scoring_level,
    self_check,
)
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.results_cli import STDOUT, interruptible, refuse_places, save_json
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import ProblemSet
    from leafwise.benchmarks.recorded import Recorded
    from leafwise.benchmarks.recorded_files import Reading
    from leafwise.benchmarks.select_bench import SelectOptions, SelectReport
    from leafwise.benchmarks.select_outcomes import Outcomes
    from leafwise.benchmarks.select_scores import Row

_MOST_TOLD = 5


def select(
    recorded: Annotated[Path, typer.Argument(help="Recorded samples, as JSON lines (.jsonl, .gz).")],
    file: Annotated[Path | None, typer.Argument(help="The data set's file, for --dataset mbpp.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Solutions of each task: the first ones.")] = 20,
    checks: Annotated[int, typer.Option(min=0, max=1000, help="Check texts of each task: the first ones.")] = 20,
    no_examples: Annotated[bool, typer.Option("--no-examples", help="Measure without the visible examples only.")] = (
        False
    ),
    curve: Annotated[bool, typer.Option("--curve", help="Also draw 1, 2, 5, ... 100 of all the samples.")] = False,
    tasks: Annotated[str, typer.Option(help="even, odd, numbers, ranges (0-9), ids; all by default.")] = "",
    half: Annotated[str, typer.Option(help="Only these tasks: even, odd.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Only so many tasks, the first ones; 0 is all.")] = 0,
    dataset: Annotated[str, typer.Option(help=DATASET_HELP)] = "humaneval",
    plus: Annotated[Path | None, typer.Option(help="HumanEvalPlus.jsonl.gz: right means HumanEval+ too.")] = None,
    leave_out: LeaveOut = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of generated inputs and of draws.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers; - prints them.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep what was run in this file, and don't run it again.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Programs that run at once; 0 is one per core.")] = 0,
    level: Annotated[str, typer.Option(help="Sandbox level: full, landlock; the best by default.")] = "",
) -> int:
    """Measure how well the team selects among recorded samples; needs no model.

    Lines have `task_id`, `solutions` (a list of texts; or one text a line, such as `completion`), `prompt` if the texts
    do not continue the data set's own, and, for generated checks, `check_prompt` and `checks`. Answers may be
    continuations, whole modules, or chat with code blocks. Visible examples are those of the data set's own prompts.
    The hidden tests judge what was selected, and nothing else sees them. Even tasks are there to tune on, odd ones to
    report.
    """
    from leafwise.benchmarks.recorded_files import read_recorded
    from leafwise.benchmarks.select_bench import SelectOptions

    refuse_places({"--json": json_file, "--keep": keep}, [recorded, *files_of(dataset, file, plus)])
    problems = open_beside(recorded, dataset, file, plus, leave_out=leave_out)
    read = read_recorded(recorded, problems.problems, leave_out=leave_out)
    chosen = _chosen(read.tasks, tasks, half, limit)
    shown = (False,) if no_examples else (True, False)
    options = SelectOptions(samples=samples, checks=checks, examples=shown, curve=curve, seed=seed)
    named = _Named(recorded.name, problems, chosen, read.reading)
    report = _measure(named, options, _Where(keep, level, workers), leave_out=leave_out)
    try:
        save_json(json_file, report, "make room or choose another place; with --keep nothing is run again")
    finally:  # what was found is told, whatever became of the file
        _tell(report, as_json=json_file == STDOUT)
    return 0


@dataclass(frozen=True)
class _Named:
    """What is measured."""

    file: str
    problems: ProblemSet
    chosen: Sequence[Recorded]
    reading: Reading


@dataclass(frozen=True)
class _Where:
    """Where candidates are run, and where what came out is kept."""

    keep: Path | None
    level: str
    workers: int


def _measure(what: _Named, options: SelectOptions, where: _Where, *, leave_out: bool) -> SelectReport:
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
        checked = self_check(what.problems, sandbox, {one.task_id for one in what.chosen}, leave_out=leave_out)
        problems, chosen = checked.problems, [one for one in what.chosen if one.task_id not in checked.left_out]
        reading = what.reading.model_copy(update={"left_out": what.reading.left_out | checked.left_out})
        with counter("reading", len(chosen)) as advance:
            pools = read_pools(problems, chosen, options, advance)
        with counter("making inputs", len(pools)) as advance:
            wholes = trials_of(pools, options, advance)
        with counter("running", 2 * modules_of(pools)) as advance:
            tried = run_pools(pools, wholes, sandbox, outcomes, at_once, advance)
        with counter("scoring", scores_of(pools, options)) as advance:
            return report_of(what.file, problems, tried, options, sandbox.level, reading, advance)


def _chosen(recorded: Sequence[Recorded], tasks: str, half: str, limit: int) -> list[Recorded]:
    """The tasks that the command line names.

    Raises:
        BenchmarkError: none is left.
        UsageError: one of them was not recorded.
    """
    from leafwise.benchmarks.problems import choose_ids, half_of

    if half not in ("", "even", "odd"):
        raise BenchmarkError(f"there is no half {half!r}", "use --half even or --half odd")
    found = [one for one in recorded if not half or half_of(one.task_id) == half]
    if not found:
        raise BenchmarkError(f"there is no {half} task to measure", "choose others with --half or --tasks")
    wanted = set(choose_ids([one.task_id for one in found], tasks, limit or None))
    return [one for one in found if one.task_id in wanted]


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
    from leafwise.runtime.verify_report import printable

    read = report.reading
    if read.left_out:
        told = [printable(f"{task} ({why})") for task, why in [*read.left_out.items()][:_MOST_TOLD]]
        more = ["..."] if len(read.left_out) > len(told) else []
        yield f"tasks that are left out: {len(read.left_out)}: {', '.join([*told, *more])}"
    missing, total = report.dataset_tasks - report.tasks, report.solutions
    counts = [
        (missing, f"of {report.dataset_tasks} tasks of the data set are not measured"),
        (report.without_code, f"of {total} solutions have no code, and count as wrong"),
        (report.fewer_samples, "tasks have fewer samples; all that they have count"),
        (report.fewer_checks if report.check_texts else 0, "tasks have fewer check texts"),
        (report.without_checks, f"of {report.check_texts} check texts hold no check that can be used"),
        (read.joined, "tasks stand on several lines: their solutions are put together"),
        (read.empty, "texts in the file are null, and count as empty"),
        (read.cut, "texts in the file are longer than what is read of them"),
        (read.ended, "texts in the file are read up to a mark of their end"),
        (read.mended, "texts in the file had half a character, which is replaced"),
    ]
    yield from (f"{count} {what}" for count, what in counts if count)
    if read.arms:
        yield f"samples of several arms are put together: {printable(', '.join(read.arms))}"
    if not report.check_texts and report.options.checks:
        yield "there are no generated checks"
    if read.tests:
        yield "fields named like tests are not read: they may be the data set's own; call generated ones 'checks'"


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
