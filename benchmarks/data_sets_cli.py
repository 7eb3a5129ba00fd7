"""Data sets as a command line names them."""

from __future__ import annotations

from pathlib import Path

from leafwise.benchmarks.contracts import ProblemSet
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems import read_problem_set

DATASET_HELP = "humaneval, mbpp FILE (or mbpp:FILE), or a JSONL file in HumanEval's form."
"""What `--dataset` takes."""


def open_problem_set(dataset: str, file: Path | None = None, plus: Path | None = None) -> ProblemSet:
    """Read the data set that a command line names.

    Args:
        dataset: `humaneval`, `mbpp`, `mbpp:FILE`, or the path of a file in HumanEval's form.
        file: what follows `mbpp`, as in `--dataset mbpp FILE`.
        plus: HumanEval+'s file.

    Raises:
        BenchmarkError: there is no such data set, or a file is missing or broken.
    """
    name, colon, rest = dataset.partition(":")
    if name == "mbpp":
        if colon and file is not None:
            raise BenchmarkError("the file of MBPP is given twice", "give --dataset mbpp:FILE alone")
        return read_problem_set("mbpp", Path(rest) if rest else file, plus)
    if file is not None:
        raise BenchmarkError(f"unexpected argument {file}", "a further file belongs to --dataset mbpp only")
    if dataset == "humaneval":
        return read_problem_set("humaneval", None, plus)
    path = Path(dataset)
    if not path.is_file():
        raise BenchmarkError(f"there is no data set {dataset!r}, and no such file", f"there are: {DATASET_HELP}")
    return read_problem_set(path.name.split(".")[0] or path.name, path, plus)
