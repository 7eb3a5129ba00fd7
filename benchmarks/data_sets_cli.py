"""What the commands that score have in common: data sets and sandbox levels as a command line names them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from leafwise.benchmarks.contracts import ProblemSet
    from leafwise.runtime.sandbox_contracts import SandboxLevel

DATASET_HELP = "humaneval, compositional, mbpp FILE (or mbpp:FILE), or a JSONL file in HumanEval's form."
"""What `--dataset` takes."""
_PACKAGED = ("humaneval", "compositional")
"""Data sets that need no file."""


def open_problem_set(dataset: str, file: Path | None = None, plus: Path | None = None) -> ProblemSet:
    """Read the data set that a command line names.

    Args:
        dataset: `humaneval`, `compositional`, `mbpp`, `mbpp:FILE`, or the path of a file in HumanEval's form.
        file: what follows `mbpp`, as in `--dataset mbpp FILE`.
        plus: HumanEval+'s file.

    Raises:
        BenchmarkError: there is no such data set, or a file is missing or broken.
    """
    from leafwise.benchmarks.problems import read_problem_set

    name, colon, rest = dataset.partition(":")
    if name == "mbpp":
        if colon and file is not None:
            raise BenchmarkError("the file of MBPP is given twice", "give --dataset mbpp:FILE alone")
        return read_problem_set("mbpp", Path(rest) if rest else file, plus)
    if file is not None:
        raise BenchmarkError(f"unexpected argument {file}", "a further file belongs to --dataset mbpp only")
    if dataset in _PACKAGED:
        return read_problem_set(dataset, None, plus)
    path = Path(dataset)
    if not path.is_file():
        raise BenchmarkError(f"there is no data set {dataset!r}, and no such file", f"there are: {DATASET_HELP}")
    return read_problem_set(path.name.split(".")[0] or path.name, path, plus)


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
