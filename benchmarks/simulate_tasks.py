"""What the simulated model knows of a task: the right functions, typical mistakes of each, and calls with their values.

Mistakes are real changes to the syntax tree of a right function (`simulate_mistakes`), run in the sandbox once: one that passes
the hidden tests is no mistake and is left out, and so is one that never ends, because it would only cost time.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from leafwise.agents.contracts import Spec, Task
from leafwise.agents.inputs import generate_inputs
from leafwise.agents.reading import signature_of
from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.problems import task_of
from leafwise.benchmarks.simulate_mistakes import mistakes
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import write_whole
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, Status, Verdict

MISTAKES = 8
"""Mistakes kept per function."""
_TRIED = 20
"""Changes tried per function to find them."""
_CALLS = 16
"""Calls tried per function."""
_LONGEST = 120
"""Characters of a value, or of a call, beyond which nobody would write it into a check."""
_LIMITS = Limits(cpu_seconds=0.5, wall_seconds=10.0)
_RECORDER = "recorded_calls"


class Mistake(Contract):
    """A wrong version of a function."""

    source: str
    """The function."""
    values: tuple[str | None, ...]
    """What it returns for the function's calls, as literals; None where it raises or returns nothing that is one."""


class SimulatedFunction(Contract):
    """A function of a reference solution."""

    name: str
    """Its name."""
    signature: str
    """Its `def` line, on one line."""
    statement: str
    """Its docstring, or its name in words."""
    source: str
    """The right function, without its docstring."""
    needs: tuple[str, ...] = ()
    """Other functions of the solution that it calls."""
    calls: tuple[str, ...] = ()
    """Calls of it with literal arguments."""
    values: tuple[str, ...] = ()
    """The right values of these calls, as literals."""
    mistakes: tuple[Mistake, ...] = ()
    """Wrong versions, the most typical first."""


class SimulatedTask(Contract):
    """A problem, and what the simulated model knows of it."""

    problem: Problem
    """With its hidden tests, for the judge; the model's answers do not depend on them."""
    task: Task
    """What the team gets."""
    preamble: str
    """Imports and constants of the reference that the prompt does not have."""
    functions: tuple[SimulatedFunction, ...]
    """Functions of the reference that the prompt does not have; the one asked for is the first."""

    def function(self, name: str) -> SimulatedFunction | None:
        """The function of that name, if the reference has it."""
        return next((function for function in self.functions if function.name == name), None)

    def needed(self, name: str, available: Iterable[str] = ()) -> tuple[SimulatedFunction, ...]:
        """A function with all that it needs, directly or through others, without what is available; itself first."""
        found, todo, there = dict[str, SimulatedFunction](), [name], set(available)
        while todo:
            function = self.function(todo.pop(0))
            if function is not None and function.name not in found:
                found[function.name] = function
                todo += [need for need in function.needs if need not in there]
        return tuple(found.values())


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
    functions, preamble = _read_reference(problem)
    calls = _calls(problem, task, functions, sandbox)
    made = [_with_mistakes(problem, function, calls.get(function.name, {}), sandbox) for function in functions]
    return SimulatedTask(problem=problem, task=task, preamble=preamble, functions=tuple(made))


def without_docstring(function: ast.FunctionDef) -> str:
    """A function's text without its docstring: two that differ in nothing else are equal texts."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    bare = ast.FunctionDef(**{**dict(ast.iter_fields(function)), "body": body or [ast.Pass()]})
    return ast.unparse(ast.fix_missing_locations(bare))


# --- reading the reference -------------------------------------------------------------------------------------------


def _read_reference(problem: Problem) -> tuple[list[SimulatedFunction], str]:
    """The functions that an answer has to bring, the one asked for first, and the other statements it needs."""
    given = _given_names(problem)
    nodes = [n for n in ast.parse(problem.reference).body if not (isinstance(n, ast.Expr))]
    mine = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name not in given]
    given_texts = {ast.unparse(node) for node in _given(problem)}
    others = [n for n in nodes if not isinstance(n, ast.FunctionDef) and ast.unparse(n) not in given_texts]
    names = {node.name for node in mine}
    mine.sort(key=lambda node: node.name != problem.entry_point)
    found = []
    for node in mine:
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & names - {node.name}
        doc = ast.get_docstring(node) or " ".join(node.name.split("_"))
        found.append(
            SimulatedFunction(
                name=node.name,
                signature=signature_of(node),
                statement=doc,
                source=without_docstring(node),
                needs=tuple(sorted(used)),
            )
        )
    return found, "\n".join(map(ast.unparse, others))


def _given(problem: Problem) -> list[ast.stmt]:
    """Statements of the prompt beside the function asked for."""
    if not problem.completes:
        return []
    body = ast.parse(problem.prompt.rstrip() + "\n    pass\n").body
    return [n for n in body if getattr(n, "name", None) != problem.entry_point]


def _given_names(problem: Problem) -> set[str]:
    return {node.name for node in _given(problem) if isinstance(node, ast.FunctionDef)}


# --- calls and their values ------------------------------------------------------------------------------------------


def _calls(
    problem: Problem, task: Task, functions: Sequence[SimulatedFunction], sandbox: Sandbox
) -> dict[str, dict[str, str]]:
    """For each function, calls and right values: those of its helpers are recorded while the reference runs."""
    spec = task if task.signature else task.model_copy(update={"signature": functions[0].signature})
    asked = list(generate_inputs(Spec(**spec.model_dump()), _CALLS, seed=0))
    found = {functions[0].name: _values(problem.reference, asked, sandbox)}
    helpers = [function.name for function in functions[1:]]
    if helpers:
        recorded = _record(problem.reference, problem.entry_point, helpers, asked, sandbox)
        for name in helpers:
            calls = [call for call in recorded if call.startswith(f"{name}(")][:_CALLS]
            found[name] = _values(problem.reference, calls, sandbox)
    return found


def _record(reference: str, entry: str, helpers: Sequence[str], calls: Sequence[str], sandbox: Sandbox) -> list[str]:
    """Calls of the helpers that happen while the function asked for runs on its calls."""
    wrapped = "\n".join(f"{name} = _recording({name!r}, {name})" for name in helpers)
    source = (
        f"{reference}\n\n_seen = []\n\n"
        "def _recording(name, function):\n"
        "    def call(*arguments):\n"
        "        text = name + '(' + ', '.join(map(repr, arguments)) + ')'\n"
        f"        if text not in _seen and len(text) <= {_LONGEST}:\n"
        "            _seen.append(text)\n"
        "        return function(*arguments)\n"
        "    return call\n\n"
        f"{wrapped}\n\n"
        f"def {_RECORDER}(*arguments):\n"
        "    _seen.clear()\n"
        f"    {entry}(*arguments)\n"
        "    return _seen[:6]\n"
    )
    asked = [Check(code=_RECORDER + call.removeprefix(entry)) for call in calls]
    verdict = sandbox.run(Program(source=source, checks=tuple(asked)), _LIMITS)
    found: dict[str, None] = {}
    for result in verdict.checks:
        texts = _literal(result.observed, longest=1000)
        for text in ast.literal_eval(texts) if texts else ():
            arguments = text.partition("(")[2][:-1]
            if _literal(f"({arguments},)", longest=1000):
                found[text] = None
    return list(found)


def _values(source: str, calls: Sequence[str], sandbox: Sandbox) -> dict[str, str]:
    """The calls that return a short literal, with it."""
    tried = [call for call in calls if len(call) <= _LONGEST]
    results = _observe(source, tried, sandbox)
    return {call: value for call, value in zip(tried, results, strict=True) if value is not None}


def _observe(source: str, calls: Sequence[str], sandbox: Sandbox) -> list[str | None]:
    checks = tuple(Check(code=call) for call in calls)
    verdict = sandbox.run(Program(source=source, checks=checks), _LIMITS)
    seen = [_literal(result.observed) if result.error is None else None for result in verdict.checks]
    return seen + [None] * (len(calls) - len(seen))


def _literal(text: str | None, longest: int = _LONGEST) -> str | None:
    if text is None or len(text) > longest:
        return None
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError):
        return None
    return text


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
                checks=suite.checks,
                trusted_checks=True,
                stop_at_first_failure=True,
            ),
            _LIMITS,
        )
        for text in changed
    ]
    wrong = [text for text, handle in zip(changed, handles, strict=True) if _is_mistake(handle.result())][:MISTAKES]
    made = [
        Mistake(
            source=text, values=tuple(_observe(replaced(problem.reference, function.name, text), [*calls], sandbox))
        )
        for text in wrong
    ]
    found = {"calls": tuple(calls), "values": tuple(calls.values()), "mistakes": tuple(made)}
    return function.model_copy(update=found)


def _is_mistake(verdict: Verdict) -> bool:
    return verdict.status is Status.FAILED


def replaced(module: str, name: str, function: str) -> str:
    """A module with another version of one of its functions."""
    tree = ast.parse(module)
    new = ast.parse(function).body
    body = [part for node in tree.body for part in (new if getattr(node, "name", None) == name else [node])]
    return ast.unparse(ast.Module(body=body, type_ignores=[])) + "\n"


# --- the store -------------------------------------------------------------------------------------------------------


def _key_of(problem: Problem) -> str:
    here = Path(__file__).parent
    own = b"".join((here / name).read_bytes() for name in ("simulate_tasks.py", "simulate_mistakes.py", "mutations.py"))
    return hashlib.sha256(own + problem.model_dump_json().encode()).hexdigest()[:24]


def _read(path: Path | None) -> SimulatedTask | None:
    """What is stored; None if there is nothing, or nothing of use."""
    if path is None or not path.is_file():
        return None
    try:
        return TypeAdapter(SimulatedTask).validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return None
