"""Reading files of recorded samples, in the forms that are in use: ours, and those that other tools write.

| a line may have | under one of the names |
|---|---|
| the task's id | `task_id`, `problem_id`, `id`, `task`; also `humaneval_0` or `0`; without any, the prompt tells |
| what the solutions continue | `prompt`: text or a chat's messages; by default the data set's own |
| solutions: one text, or a list | `solutions`, `samples`, `completions`, `generations`, ... (`SOLUTIONS`) |
| generated checks: one text, or a list | `checks`, `generated_tests`, ... (`CHECKS`); they continue `check_prompt` |

An item of a list may be an object with its text in it, as servers give them; one that is null counts as an empty text.
Lines of one task are put together, so a line per sample is fine. Files may be JSON lines, one array, or one object that
maps ids to solutions. Further fields are passed over; those that may hold a data set's own tests are never read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problem_lines import Faults, Line, ids_hint, is_whole, kind_of, read_lines
from leafwise.benchmarks.recorded import Recorded
from leafwise.benchmarks.task_names import TaskNames
from leafwise.runtime.contracts import Contract

_IDS = ("task_id", "problem_id", "id", "task")
SOLUTIONS = (
    *("solutions", "samples", "completions", "generations", "generated_solutions", "generated_code", "outputs"),
    *("responses", "solution", "completion", "generation", "generated_solution", "output", "response"),
)
"""Names of the solutions; the first that a line has is read."""
CHECKS = ("checks", "generated_checks", "generated_tests", "generated_test_cases", "test_cases")
"""Names of the generated checks."""
_TESTS = ("test", "tests", "test_list")
"""Never read: a data set's own tests may stand there, which selection must not see."""
_FIELDS = (*_IDS, "prompt", *SOLUTIONS, *CHECKS)
_TEXT = ("text", "code", "content", "message", *SOLUTIONS)
"""Where an object has its text."""
_END = re.compile(r"<\|(?:end|endoftext|end_of_text|EOT|im_end|eot_id|eom_id)\|>|(?:</s>|<eos>|<end_of_turn>)\s*\Z")
"""Marks with which models end a text; some tools leave them in it, with whatever was generated behind them."""
_LONGEST = 20_000
"""Characters of a text that are read: no answer of a model is that long, and a loop's output may be endless."""
_HINT = (
    "each line is an object with 'task_id', 'solutions' (texts; or one text, such as 'completion'), and if there are "
    "any 'prompt' (what the solutions continue), 'check_prompt' and 'checks' (generated checks)"
)


class Reading(Contract):
    """What was not as it should be in a file of recorded samples."""

    left_out: dict[str, str] = Field(default_factory=dict)
    """Tasks that are not measured, by their ids as the file has them, and why."""
    empty: int = 0
    """Texts that are null in the file."""
    mended: int = 0
    """Texts with half a character (a lone surrogate) that was replaced."""
    cut: int = 0
    """Texts of which only a part was read."""
    ended: int = 0
    """Texts that were read up to a mark of their end, such as `<|endoftext|>`."""
    joined: int = 0
    """Tasks with solutions on several lines that have a list each."""
    arms: tuple[str, ...] = ()
    """Arms whose samples are put together, as a run of `bench humaneval` names them, if there are several."""
    tests: bool = False
    """Whether there are no generated checks, but fields that may hold some, or a data set's own tests."""


class RecordedFile(Contract):
    """What a file of recorded samples holds."""

    tasks: tuple[Recorded, ...]
    """In the order in which they begin; each has a solution."""
    reading: Reading
    """What is not in them, or not as it was."""


def read_recorded(path: Path, problems: Iterable[Problem], *, leave_out: bool = False) -> RecordedFile:
    """The recorded samples of a file.

    Args:
        path: `.jsonl` or `.json`, packed with gzip or not.
        problems: those that they may be for; tasks of others are left out.
        leave_out: go on without faulty lines.

    Raises:
        BenchmarkError: the file cannot be read, has faulty lines, which are named by their numbers, or has no solution
            for any of the problems.
    """
    reader = _Reader(path, problems)
    for line in read_lines(path, reader.faults):
        reader.read(line)
    tasks, known = tuple(reader.tasks()), reader.names.problems
    hint = f"{_HINT}; solutions may be named {', '.join(SOLUTIONS)}; {ids_hint(known)}"
    reader.left_out |= reader.faults.unread(hint, {}, [one.task_id for one in tasks], leave_out=leave_out)
    if not tasks:
        why = "; ".join(f"{task}: {reason}" for task, reason in [*reader.left_out.items()][:3])
        raise BenchmarkError(f"{path} has no solution for any task of the data set: {why}", ids_hint(known))
    return RecordedFile(tasks=tasks, reading=reader.reading())


@dataclass
class _Gathered:
    """What the lines so far have of one task."""

    prompt: str = ""
    lists: int = 0
    solutions: list[str] = field(default_factory=list)
    check_prompt: str = ""
    checks: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.faults = Faults(path)
        self.left_out: dict[str, str] = {}
        self.names = TaskNames(problems)
        self._gathered: dict[str, _Gathered] = {}
        self._counts: Counter[str] = Counter()
        self._tests = False
        self._arms: dict[str, None] = {}

    def reading(self) -> Reading:
        """What was told apart from the tasks."""
        checks = any(one.checks for one in self._gathered.values())
        return Reading(
            left_out=self.left_out,
            joined=sum(one.lists > 1 for one in self._gathered.values()),
            arms=tuple(self._arms) if len(self._arms) > 1 else (),
            tests=self._tests and not checks,
            **self._counts,
        )

    def tasks(self) -> Iterator[Recorded]:
        """The tasks that have a solution."""
        for task, one in self._gathered.items():
            if not one.solutions:
                self.left_out[task] = "it has no solution"
                continue
            yield Recorded(
                task_id=task,
                prompt=one.prompt or self.names.problems[task].prompt,
                solutions=tuple(one.solutions),
                check_prompt=one.check_prompt,
                checks=tuple(one.checks),
            )

    def read(self, line: Line) -> None:
        """Take what a line has; of an object that maps ids to solutions, each entry."""
        if not any(map(line.has, _FIELDS)) and any(map(self.names.named, line.data)):
            for task, value in line.data.items():
                if _texts_in(value) is None:
                    self.faults.add(line.number, f"{task!r} {_what_is_wrong(value)}")
                else:
                    self._read(Line(line.number, {"task_id": task, "solutions": value}))
        else:
            self._read(line)

    def _read(self, line: Line) -> None:
        faults = len(self.faults)
        prompt = self._prompt(line, "prompt")
        task = self._task(line, prompt)
        solutions, checks = self._texts(line, SOLUTIONS), self._texts(line, CHECKS)
        if solutions is None and checks is None:
            self.faults.add(line.number, "no 'solutions', under none of their names")
        self._tests |= any(map(line.has, _TESTS))
        check_prompt = self._prompt(line, "check_prompt")
        if task is None or len(self.faults) > faults:
            return
        self._arms |= {str(line.data["arm"]): None} if line.has("arm") else {}
        one = self._gathered.setdefault(task, _Gathered())
        for name, before, now in (("prompt", one.prompt, prompt), ("check_prompt", one.check_prompt, check_prompt)):
            if before and now and before != now:
                self.faults.add(line.number, f"{name!r} of {task} is another one than on a line before")
                return
        one.prompt, one.check_prompt = one.prompt or prompt, one.check_prompt or check_prompt
        one.lists += any(isinstance(line.data.get(name), list) for name in SOLUTIONS)
        one.solutions += solutions or ()
        one.checks += checks or ()

    def _task(self, line: Line, prompt: str) -> str | None:
        """The id of a line's task in the data set; None, and a reason or a fault, if there is none."""
        given = next((line.data[name] for name in _IDS if line.has(name)), None)
        if given is None:
            found = self.names.asked_by(prompt)
            if found is None:
                self.faults.add(line.number, "no 'task_id', and its prompt is that of no task")
            return found
        if type(given) not in (str, int):
            self.faults.add(line.number, f"'task_id' is {kind_of(given)}, not text")
            return None
        found = self.names.named(str(given))
        if found is None and str(given).isdecimal():  # other numbers of the file would fit by chance alone
            self.faults.add(line.number, f"there is no task {given} in the data set")
        elif found is None:
            self.left_out[str(given)] = "the data set has no such task"
        return found

    def _prompt(self, line: Line, name: str) -> str:
        """Text, or the contents of a chat's messages; empty where there is none."""
        texts = _texts_in(line.data.get(name))
        if texts is None:
            self.faults.add(line.number, f"{name!r} is {kind_of(line.data[name])}, not text")
        text = "\n".join(self._whole(text) for text in texts or ())
        return text if text.strip() else ""

    def _texts(self, line: Line, names: Sequence[str]) -> list[str] | None:
        """The texts under the first of the names that the line has; None if it has none of them."""
        name = next((name for name in names if line.has(name)), None)
        if name is None:
            return None
        value = line.data[name]
        self._counts["empty"] += value.count(None) if isinstance(value, list) else 0
        texts = _texts_in(value)
        if texts is None:
            self.faults.add(line.number, f"{name!r} {_what_is_wrong(value)}")
        return [self._part(self._whole(text)) for text in texts or ()]

    def _whole(self, text: str) -> str:
        if is_whole(text):
            return text
        self._counts["mended"] += 1
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _part(self, text: str) -> str:
        """What is read of a text: up to a mark of its end, and not without end.

        Of a text that is too long its beginning, or what stands from its first code block on, if that comes late.
        """
        if end := _END.search(text):
            self._counts["ended"] += 1
            text = text[: end.start()]
        if len(text) <= _LONGEST:
            return text
        self._counts["cut"] += 1
        fence = text.find("```")
        start = fence if fence > _LONGEST // 2 else 0
        return text[start : start + _LONGEST]


def _texts_in(value: object) -> list[str] | None:
    """The texts of a list, or the only one; None where something in it has no text."""
    texts = [_text_in(item) for item in (value if isinstance(value, list) else [value])]
    return None if None in texts else [text for text in texts if text is not None]


def _text_in(item: object) -> str | None:
    """An item's text: itself, or what an object has; empty for null, None where there is no text."""
    match item:
        case None:
            return ""
        case str():
            return item
        case dict():
            return next((_text_in(item[name]) for name in _TEXT if item.get(name) is not None), None)
        case _:
            return None


def _what_is_wrong(value: object) -> str:
    if not isinstance(value, list):
        return f"is {kind_of(value)}"
    return f"holds {next(kind_of(item) for item in value if _text_in(item) is None)}, not only texts"
