"""Generations of a model for HumanEval: read from a file, a few of each task chosen, cut where the function ends."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from leafwise.benchmarks.errors import BenchmarkError

_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
_FORM = 'each line must be JSON with "task_id" and "solutions", a list of texts'


class _Line(BaseModel):
    """A task's line; more fields are fine."""

    task_id: str
    solutions: list[str]


def read_generations(path: Path) -> dict[str, list[str]]:
    """The texts per task, as they were generated; a task may have several lines.

    Args:
        path: JSON lines, compressed when the name ends in `.gz`.

    Raises:
        BenchmarkError: the file can't be read, or a line has another form.
    """
    found: dict[str, list[str]] = {}
    try:
        for number, text in enumerate(_lines(path), 1):
            try:
                line = _Line.model_validate_json(text)
            except ValidationError as error:
                raise BenchmarkError(f"{path}, line {number}: {error.errors()[0]['msg']}", _FORM) from None
            found.setdefault(line.task_id, []).extend(line.solutions)
    except (OSError, EOFError, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise BenchmarkError(f"cannot read {path}: {error}", _FORM) from None
    if not any(found.values()):
        raise BenchmarkError(f"{path} has no generations", _FORM)
    return found


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from (line for line in file if line.strip())


def spread(available: Mapping[str, int], count: int, dice: random.Random) -> list[tuple[str, int]]:
    """Choose generations so that every task has as many as any other, as far as it has them.

    Args:
        available: number of generations per task.
        count: how many to choose.
        dice: decides which of a task, and which tasks get the last ones.

    Returns:
        Task and index of each, in the order of `available`; fewer than `count` where there are not so many.
    """
    tasks = [task for task, several in available.items() if several]
    left = {task: dice.sample(range(available[task]), available[task]) for task in tasks}
    chosen: dict[str, list[int]] = {task: [] for task in tasks}
    missing = min(count, sum(map(len, left.values())))
    while missing:
        turn = [task for task in tasks if left[task]]
        for task in turn if len(turn) <= missing else dice.sample(turn, missing):
            chosen[task].append(left[task].pop())
            missing -= 1
    return [(task, index) for task in tasks for index in sorted(chosen[task])]


def cut(text: str, stops: Sequence[str] = _STOPS) -> str:
    """A completion up to where something follows the function.

    The stop sequences are those of Chen et al. 2021, https://arxiv.org/abs/2107.03374, section 2.1.
    """
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]
