"""Preparing a task for the simulation: which mistakes its functions allow, and what these return.

Mistakes are real changes to the syntax tree of a right function (see `simulate_mistakes`), run in the sandbox once: one
that passes the hidden tests is no mistake and is left out, and so is one that never ends: it would only cost time.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.problems import task_of
from leafwise.benchmarks.simulate_mistakes import mistakes
from leafwise.benchmarks.simulate_reference import (
    LIMITS,
    Mistake,
    SimulatedFunction,
    SimulatedTask,
    calls_of,
    observe,
    read_reference,
)
from leafwise.runtime.paths import write_whole
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Program, Status, Verdict
from leafwise.runtime.syntax import parse

_SOURCES = ("mutations.py", "simulate_mistakes.py", "simulate_reference.py", "simulate_tasks.py")
MISTAKES = 8
"""Mistakes kept per function."""
_TRIED = 20
"""Changes tried per function to find them."""


def prepare_tasks(
    problems: Sequence[Problem],
    sandbox: Sandbox,
    store: Path | None = None,
    done: Callable[[], None] = lambda: None,
    workers: int = 2,
) -> tuple[SimulatedTask, ...]:
    """Find the mistakes and the calls of every problem's functions.

    Args:
        problems: with one suite of tests each at least; only the first counts.
        sandbox: runs the references and their changed versions, some 40 programs per function.
        store: a directory where what was found is kept for the next time; None keeps nothing.
        done: called after each problem.
        workers: problems prepared at once.

    Raises:
        SandboxError: the sandbox failed.
        OSError: the store cannot be written.
    """

    def prepare(problem: Problem) -> SimulatedTask:
        path = store / f"{_key_of(problem)}.json" if store else None
        found = _read(path)
        if found is None:
            found = prepare_task(problem, sandbox)
            if path is not None:
                write_whole(path, found.model_dump_json().encode())
        done()
        return found

    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(prepare, problems))


def prepare_task(problem: Problem, sandbox: Sandbox) -> SimulatedTask:
    """Find the mistakes and the calls of a problem's functions.

    Raises:
        SandboxError: the sandbox failed.
    """
    task = task_of(problem)
    functions, preamble = read_reference(problem)
    calls = calls_of(problem, task, functions, sandbox)
    made = [_with_mistakes(problem, function, calls.get(function.name, {}), sandbox) for function in functions]
    return SimulatedTask(problem=problem, task=task, preamble=preamble, functions=tuple(made))


# --- mistakes --------------------------------------------------------------------------------------------------------


def _with_mistakes(
    problem: Problem, function: SimulatedFunction, calls: Mapping[str, str], sandbox: Sandbox
) -> SimulatedFunction:
    dice = random.Random(f"{problem.id}/{function.name}")
    changed = mistakes(function.source, _TRIED, dice)
    suite = problem.suites[0]
    handles = [
        sandbox.submit(
            Program(
                source=replaced(problem.reference, function.name, text),
                setup=suite.setup,
                entry_point=problem.entry_point,
                checks=suite.checks,
                trusted_checks=True,
                stop_at_first_failure=True,
            ),
            LIMITS,
        )
        for text in changed
    ]
    wrong = [text for text, handle in zip(changed, handles, strict=True) if _is_mistake(handle.result())][:MISTAKES]
    made = [
        Mistake(source=text, values=tuple(observe(replaced(problem.reference, function.name, text), [*calls], sandbox)))
        for text in wrong
    ]
    found = {"calls": tuple(calls), "values": tuple(calls.values()), "mistakes": tuple(made)}
    return function.model_copy(update=found)


def _is_mistake(verdict: Verdict) -> bool:
    return verdict.status is Status.FAILED


def replaced(module: str, name: str, function: str) -> str:
    """A module with another version of one of its functions."""
    tree = parse(module)
    new = parse(function).body
    body = [part for node in tree.body for part in (new if getattr(node, "name", None) == name else [node])]
    return ast.unparse(ast.Module(body=body, type_ignores=[])) + "\n"


# --- the store -------------------------------------------------------------------------------------------------------


def _key_of(problem: Problem) -> str:
    here = Path(__file__).parent
    own = b"".join((here / name).read_bytes() for name in _SOURCES)
    return hashlib.sha256(own + problem.model_dump_json().encode()).hexdigest()[:24]


def _read(path: Path | None) -> SimulatedTask | None:
    """What is stored; None if there is nothing, or nothing of use."""
    if path is None or not path.is_file():
        return None
    try:
        return TypeAdapter(SimulatedTask).validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return None
