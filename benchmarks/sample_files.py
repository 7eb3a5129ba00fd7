"""Reading files of answers to be judged: our own samples.jsonl, and what other tools write.

| a line has | what is judged |
|---|---|
| `solution` | that text, as a whole module; it wins where there is a `completion` too |
| `completion` | the problem's prompt with that text after it; for MBPP, whose prompts are sentences, the text alone |

Both are taken literally: nothing is extracted, stripped or mended, so that verdicts are those of the tool that wrote
the file. Lines may also have `arm` (text) and `sample` (a number from 0); without a number, the lines of a task are
counted. Further fields are passed over. A problem of MBPP may be named by its number alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import Answer
from leafwise.benchmarks.problem_lines import Faults, Line, ids_hint, kind_of, read_lines

_HINT = "each line is an object with 'task_id' and 'completion' or 'solution'; nothing was judged"


def read_samples(path: Path, problems: Iterable[Problem], unread: Collection[str] = ()) -> list[Answer]:
    """The answers of a file, in its order.

    Args:
        path: `.jsonl`, packed with gzip or not.
        problems: those that answers may be for.
        unread: ids of problems that are left out; so are their answers.

    Raises:
        BenchmarkError: the file cannot be read, is empty, or has faulty lines: all are named by their numbers; or all
            its answers are left out.
    """
    known = {problem.id: problem for problem in problems}
    faults = Faults(path)
    read: list[tuple[Line, Answer]] = []
    for line in read_lines(path, faults):
        if line.is_for(unread):
            continue
        task_id = faults.task(line, known)
        answer = _answer(line, None if task_id is None else known[task_id], faults)
        if answer is not None:
            read.append((line, answer))
    answers = _numbered(read, faults)
    faults.raise_any(f"{_HINT}; {ids_hint(known)}")
    if not answers:
        raise BenchmarkError(f"all answers in {path} are to tasks that are left out", "mend the data set's file")
    return answers


def _answer(line: Line, problem: Problem | None, faults: Faults) -> Answer | None:
    """A line's answer; its number is 0 where the line has none."""
    field = "solution" if "solution" in line.data else "completion"
    if field not in line.data:
        faults.add(line.number, "no 'completion' and no 'solution'")
        text = None
    else:
        text = faults.text(line, field, filled=False)
    arm = faults.text(line, "arm", filled=False) if "arm" in line.data else ""
    number = line.data.get("sample", 0)
    if type(number) is not int or number < 0:
        given = number if type(number) is int else kind_of(number)
        faults.add(line.number, f"'sample' is {given}, not a whole number from 0")
        return None
    if problem is None or text is None or arm is None:
        return None
    module = problem.prompt + text if field == "completion" and problem.completes else text
    return Answer(task_id=problem.id, arm=arm, sample=number, module=module)


def _numbered(read: list[tuple[Line, Answer]], faults: Faults) -> list[Answer]:
    """Give numbers that are free to the answers of lines that have none; a number that is there twice is a fault."""
    taken: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for line, answer in read:
        if "sample" in line.data:
            lines = taken[answer.arm, answer.task_id]
            if answer.sample in lines:
                who = f" of arm {answer.arm}" if answer.arm else ""
                what = f"sample {answer.sample} of {answer.task_id}{who} is on line {lines[answer.sample]} already"
                faults.add(line.number, what)
            lines[answer.sample] = line.number
    following: dict[tuple[str, str], int] = defaultdict(int)
    answers = []
    for line, answer in read:
        if "sample" not in line.data:
            key = answer.arm, answer.task_id
            while following[key] in taken[key]:
                following[key] += 1
            answer = answer.model_copy(update={"sample": following[key]})
            following[key] += 1
        answers.append(answer)
    return answers
