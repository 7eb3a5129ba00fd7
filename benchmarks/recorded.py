"""Recorded samples: files with many answers of a model to each task, and an engine that gives them again.

| field of a line | what it is |
|---|---|
| `task_id` | the problem's id in the data set |
| `prompt` | what the solutions continue |
| `solutions` | texts of the model; they may run on past the function, or be fenced answers or whole modules |
| `check_prompt` | what the check texts continue; optional |
| `checks` | texts of the model with asserts in them; optional |

Further fields are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.problem_lines import Faults, Line, kind_of, read_lines
from leafwise.runtime.contracts import Contract, Request
from leafwise.runtime.errors import ScriptExhaustedError
from leafwise.runtime.scripted import ScriptedEngine

_HINT = (
    "each line is an object with the texts 'task_id' and 'prompt' and the list of texts 'solutions', and for generated "
    "checks 'check_prompt' and the list of texts 'checks'"
)
_HINT_TASKS = f"{_HINT}; the data set that they are for is named by --dataset"
_CONTEXT = 1_000_000
_AT_ONCE = 256


class Recorded(Contract):
    """What a model once said about one task."""

    task_id: str
    """The problem's id."""
    prompt: str
    """What the solutions continue."""
    solutions: tuple[str, ...]
    """At least one."""
    check_prompt: str = ""
    """What the checks continue."""
    checks: tuple[str, ...] = ()
    """Texts with generated checks."""


def read_recorded(path: Path, problems: Iterable[Problem]) -> list[Recorded]:
    """The recorded samples of a file, in its order.

    Args:
        path: `.jsonl`, packed with gzip or not.
        problems: those that they may be for.

    Raises:
        BenchmarkError: the file cannot be read, is empty, or has faulty lines: they are named by their numbers.
    """
    known = {problem.id for problem in problems}
    faults, seen, strangers = Faults(path), dict[str, int](), 0
    found: list[Recorded] = []
    for line in read_lines(path, faults):
        task_id, prompt = faults.text(line, "task_id"), faults.text(line, "prompt")
        solutions, checks = _texts(line, "solutions", faults), _texts(line, "checks", faults, optional=True)
        check_prompt = faults.text(line, "check_prompt", filled=False) if "check_prompt" in line.data else ""
        if task_id is not None and task_id not in known:
            faults.add(line.number, f"there is no task {task_id!r} in the data set")
            strangers += 1
        elif task_id in seen:
            faults.add(line.number, f"{task_id} is on line {seen[task_id]} already")
        elif task_id is not None:
            seen[task_id] = line.number
        if task_id is None or prompt is None or solutions is None or checks is None or check_prompt is None:
            continue
        found.append(
            Recorded(task_id=task_id, prompt=prompt, solutions=solutions, check_prompt=check_prompt, checks=checks)
        )
    faults.raise_any(_HINT_TASKS if strangers else _HINT)
    return found


def _texts(line: Line, field: str, faults: Faults, *, optional: bool = False) -> tuple[str, ...] | None:
    value = line.data.get(field)
    if field not in line.data:
        if optional:
            return ()
        faults.add(line.number, f"no {field!r}")
    elif not isinstance(value, list):
        faults.add(line.number, f"{field!r} is {kind_of(value)}, not a list")
    elif strange := [kind_of(item) for item in value if not isinstance(item, str)]:
        faults.add(line.number, f"{field!r} holds {strange[0]}, not only texts")
    elif not value and not optional:
        faults.add(line.number, f"{field!r} is empty")
    elif any(not _is_utf8(item) for item in value):
        faults.add(line.number, f"{field!r} holds half a surrogate pair, which is no text")
    else:
        return tuple(value)
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def replaying_engine(prompt: str, texts: Sequence[str]) -> ScriptedEngine:
    """An engine that answers one prompt with what was recorded: sample by sample, in order.

    Args:
        prompt: what the texts continue; another one, or one text too many, is a `ScriptExhaustedError`.
        texts: the recorded texts.
    """
    left = iter(texts)

    def reply(request: Request, _index: int) -> str:
        text = next(left, None) if request.prompt == prompt else None
        if text is None:
            raise ScriptExhaustedError("nothing more was recorded for this prompt")
        return text

    return ScriptedEngine(reply, context=_CONTEXT)


def replayed(engine: ScriptedEngine, prompt: str, count: int) -> list[str]:
    """The engine's next answers to a prompt.

    Args:
        engine: see `replaying_engine`.
        prompt: a recorded prompt.
        count: how many answers.
    """
    texts: list[str] = []
    while len(texts) < count:
        n = min(_AT_ONCE, count - len(texts))
        request = Request(prompt=prompt, n=n, max_tokens=_CONTEXT // 2)
        texts += [sample.text for sample in engine.submit(request).result().samples]
    return texts
