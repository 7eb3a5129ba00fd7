"""What the commands that score have in common: data sets and sandbox levels as a command line names them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.errors import UsageError
from leafwise.runtime.progress_cli import counter, stage

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import ProblemSet
    from leafwise.benchmarks.self_check import Checked
    from leafwise.runtime.sandbox import Sandbox
    from leafwise.runtime.sandbox_contracts import SandboxLevel

LeaveOut = Annotated[
    bool, typer.Option("--leave-out-broken", help="Go on without tasks that are broken or whose reference fails here.")
]
"""By default such tasks are refused, and nothing is scored."""
DATASET_HELP = "humaneval, compositional, mbpp:FILE, or a JSONL file in HumanEval's form."
"""What `--dataset` takes in every command. Some have an argument for MBPP's file too, which says so itself."""
_LONGEST_REASON = 200
_PACKAGED = ("humaneval", "compositional")
"""Data sets that need no file."""


def open_problem_set(
    dataset: str, file: Path | None = None, plus: Path | None = None, *, leave_out: bool = False
) -> ProblemSet:
    """Read the data set that a command line names.

    Args:
        dataset: `humaneval`, `compositional`, `mbpp`, `mbpp:FILE`, or the path of a file in HumanEval's form.
        file: what follows `mbpp`, as in `--dataset mbpp FILE`.
        plus: HumanEval+'s file.
        leave_out: go on without lines that hold no usable problem.

    Raises:
        BenchmarkError: there is no such data set, or a file is missing or broken.
    """
    from leafwise.benchmarks.problems import read_problem_set

    name, colon, rest = dataset.partition(":")
    if name == "mbpp":
        if colon and file is not None:
            raise BenchmarkError("the file of MBPP is given twice", "give --dataset mbpp:FILE alone")
        return read_problem_set("mbpp", Path(rest) if rest else file, plus, leave_out=leave_out)
    if file is not None:
        raise BenchmarkError(f"unexpected argument {file}", "a further file belongs to --dataset mbpp only")
    if dataset in _PACKAGED:
        return read_problem_set(dataset, None, plus)
    path = Path(dataset)
    if not path.is_file():
        raise BenchmarkError(f"there is no data set {dataset!r}, and no such file", f"there are: {DATASET_HELP}")
    return read_problem_set(path.name.split(".")[0] or path.name, path, plus, leave_out=leave_out)


def open_beside(
    texts: Path, dataset: str, file: Path | None, plus: Path | None, *, leave_out: bool = False
) -> ProblemSet:
    """Read the data set that a command line names beside a file of texts to be scored.

    Args:
        texts: the file that comes first.
        dataset: see `open_problem_set`.
        file: what comes second.
        plus: HumanEval+'s file.
        leave_out: go on without lines that hold no usable problem.

    Raises:
        BenchmarkError: see `open_problem_set`; where the two files may be swapped, the hint says so.
    """
    try:
        return open_problem_set(dataset, file, plus, leave_out=leave_out)
    except BenchmarkError as error:
        if file is None or dataset != "mbpp":
            raise
        swapped = f"if {texts} is the data set, swap the two, or write --dataset mbpp:{texts} {file}"
        raise BenchmarkError(error.message, f"{swapped}; {error.hint}" if error.hint else swapped) from error


def files_of(dataset: str, file: Path | None, plus: Path | None) -> list[Path]:
    """The files that a data set is read from, as a command line names them; they may be missing."""
    return [path for path in (file, plus, Path(dataset.removeprefix("mbpp:"))) if path is not None]


def scoring_level(name: str) -> SandboxLevel | None:
    """The sandbox level that answers are run at; None, the best that works here, where none is named.

    Raises:
        UsageError: there is no such level, or it is no sandbox.
    """
    from leafwise.benchmarks.sandbox_bench_cli import sandbox_level
    from leafwise.runtime.sandbox_contracts import SandboxLevel

    level = sandbox_level(name) if name else None
    if level is SandboxLevel.NONE:
        raise UsageError("answers are never judged without a sandbox", "use --level full or --level landlock")
    return level


def self_check(
    problems: ProblemSet,
    sandbox: Sandbox,
    tasks: Collection[str],
    *,
    leave_out: bool,
    others: Mapping[str, str] = MappingProxyType({}),
) -> Checked:
    """Refuse to score where the judge cannot be believed, and show how far that is; tell what is left out.

    What HumanEval+'s references give is computed before, one task after the other: the first time it takes long.

    Args:
        problems: the data set.
        sandbox: what is going to judge.
        tasks: ids of the problems that are going to be scored.
        leave_out: go on without the problems that cannot be scored here.
        others: tasks that are left out for other reasons, and these.

    Returns:
        What the check found; `left_out` has the data set's unread lines and the others too.

    Raises:
        BenchmarkError: see `check_environment`.
        SandboxError: the sandbox failed.
    """
    from leafwise.benchmarks.problems_plus import with_expected
    from leafwise.benchmarks.self_check import check_environment

    chosen = [problem for problem in problems.problems if problem.id in tasks]
    to_record = [problem for problem in chosen if any(suite.recorder for suite in problem.suites)]
    if to_record:
        with counter("running HumanEval+'s references", len(to_record)) as advance:
            for problem in to_record:
                with_expected(problem, sandbox)
                advance()
    with stage("self-check") as tell:
        checked = check_environment(problems, sandbox, tasks, tell, leave_out=leave_out)
    left_out = {**problems.unread, **others, **checked.left_out}
    _tell_left_out(left_out)
    return replace(checked, left_out=left_out)


def _tell_left_out(left_out: Mapping[str, str]) -> None:
    """Say loudly what is not scored, and why; nothing to say where that is nothing."""
    from leafwise.runtime.verify_report import printable

    if left_out:
        print(f"LEFT OUT, because they can't be scored here: {len(left_out)} tasks", file=sys.stderr)
    for task, why in left_out.items():
        print(f"  {printable(task)}: {printable(why, _LONGEST_REASON)}", file=sys.stderr)
