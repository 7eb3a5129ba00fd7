"""Recorded samples: files with many answers of a model to each task, and an engine that gives them again.

| field of a line | what it is |
|---|---|
| `task_id` | the problem's id in the data set |
| `prompt` | what the solutions continue |
| `solutions` | texts of the model; they may run on past the function, or be fenced answers or whole modules |
| `check_prompt` | what the check texts continue; optional |
| `checks` | texts of the model with asserts in them; optional |

Further fields are passed over, and what is null is absent. A problem of MBPP may be named by its number alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.problem_lines import HALF_CHARACTER, Faults, Line, ids_hint, is_whole, kind_of, read_lines
from leafwise.runtime.contracts import Contract, Request
from leafwise.runtime.errors import ScriptExhaustedError
from leafwise.runtime.scripted import ScriptedEngine

_HINT = (
    "each line is an object with the texts 'task_id' and 'prompt' and the list of texts 'solutions', and for generated "
    "checks 'check_prompt' and the list of texts 'checks'"
)
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
    known = dict.fromkeys(problem.id for problem in problems)
    faults, seen = Faults(path), dict[str, int]()
    found: list[Recorded] = []
    for line in read_lines(path, faults):
        task_id, prompt = faults.task(line, known), faults.text(line, "prompt")
        solutions, checks = _texts(line, "solutions", faults), _texts(line, "checks", faults, optional=True)
        check_prompt = faults.text(line, "check_prompt", filled=False) if line.has("check_prompt") else ""
        if task_id in seen:
            faults.add(line.number, f"{task_id} is on line {seen[task_id]} already")
        elif task_id is not None:
            seen[task_id] = line.number
        if task_id is None or prompt is None or solutions is None or checks is None or check_prompt is None:
            continue
        found.append(
            Recorded(task_id=task_id, prompt=prompt, solutions=solutions, check_prompt=check_prompt, checks=checks)
        )
    faults.raise_any(f"{_HINT}; {ids_hint(known)}")
    return found


def _texts(line: Line, field: str, faults: Faults, *, optional: bool = False) -> tuple[str, ...] | None:
    value = line.data.get(field)
    if optional and not line.has(field):
        return ()
    if field not in line.data:
        faults.add(line.number, f"no {field!r}")
    elif not isinstance(value, list):
        faults.add(line.number, f"{field!r} is {kind_of(value)}, not a list")
    elif strange := [kind_of(item) for item in value if not isinstance(item, str)]:
        faults.add(line.number, f"{field!r} holds {strange[0]}, not only texts")
    elif not value and not optional:
        faults.add(line.number, f"{field!r} is empty")
    elif not all(map(is_whole, value)):
        faults.add(line.number, f"{field!r} has {HALF_CHARACTER}")
    else:
        return tuple(value)
    return None


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
