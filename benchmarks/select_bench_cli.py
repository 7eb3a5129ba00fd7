"""`leafwise bench select`: how well the right one is found among recorded samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.data_sets_cli import DATASET_HELP, open_problem_set, scoring_level
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report_cli import refuse_missing_folder
from leafwise.runtime.progress_cli import counter

if TYPE_CHECKING:
    from leafwise.benchmarks.recorded import Recorded
    from leafwise.benchmarks.select_bench import SelectReport
    from leafwise.benchmarks.select_outcomes import Outcomes
    from leafwise.benchmarks.select_scores import Row

_STDOUT = Path("-")


def select(
    file: Annotated[Path, typer.Argument(help="Recorded samples, as JSON lines (.jsonl, .gz).")],
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
    from leafwise.benchmarks.select_bench import SelectOptions, modules_of, read_pools, report_of, run_pools
    from leafwise.runtime.sandbox import open_sandbox

    _refuse_places(file, json_file, keep)
    problems = open_problem_set(dataset, None, plus)
    chosen = _chosen(read_recorded(file, problems.problems), tasks, half, limit)
    shown = (False,) if no_examples else (True, False)
    options = SelectOptions(samples=samples, checks=checks, examples=shown, curve=curve, seed=seed)
    at_once = workers or len(os.sched_getaffinity(0))
    with _outcomes(keep) as outcomes, open_sandbox(scoring_level(level), workers=at_once) as sandbox:
        pools = read_pools(problems, chosen, options)
        with counter("running", 2 * modules_of(pools)) as advance:
            tried = run_pools(pools, options, sandbox, outcomes, at_once, advance)
        report = report_of(file.name, problems, tried, options, sandbox.level)
    if json_file is not None and json_file != _STDOUT:
        _save(json_file, report)
    _tell(report, as_json=json_file == _STDOUT)
    return 0


def _refuse_places(file: Path, json_file: Path | None, keep: Path | None) -> None:
    """Before anything is run: results must have a place, and nothing that is there may be lost."""
    for place in (json_file, keep):
        if place is None or place == _STDOUT:
            continue
        refuse_missing_folder(place)
        if place.exists() and file.exists() and place.samefile(file):
            raise BenchmarkError(f"{place} is what is read", "choose another place for the results")
    if keep is not None and json_file is not None and keep.absolute() == json_file.absolute():
        raise BenchmarkError("--json and --keep name the same file", "give each a file of its own")


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
    with Journal(keep, Outcome) as journal:
        yield Outcomes(journal)


def _save(path: Path, report: SelectReport) -> None:
    from leafwise.runtime.paths import write_whole

    try:
        write_whole(path, report.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}", "make room or choose another place") from error


def _tell(report: SelectReport, *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    options = report.options
    for shown in options.examples:
        print(f"{'with' if shown else 'without'} the visible examples, {_amount(options.samples, options.checks)}:")
        _print_rows([row for row in report.rows if row.examples == shown])
        if options.curve:
            print("random draws of so many samples, and as many check texts; all tasks, means over the draws:")
            _print_curve([row for row in report.curve if row.examples == shown])


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

    lines = [["samples", "draws", *RULES.values()]]
    for size in dict.fromkeys(row.samples for row in rows):
        mine = [row for row in rows if row.samples == size]
        rights = {row.rule: f"{row.right:.1f} = {100 * row.right / row.tasks:.1f} %" for row in mine}
        lines.append([str(size), str(mine[0].draws), *(rights[rule] for rule in RULES)])
    _print_table(lines)


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
