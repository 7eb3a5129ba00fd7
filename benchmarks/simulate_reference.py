"""What the simulated model knows of a task: the right functions, typical mistakes, and calls with their values."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import cast

from leafwise.agents.contracts import Task
from leafwise.agents.inputs import generate_inputs
from leafwise.agents.reading import signature_of
from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program
from leafwise.runtime.syntax import literal, parse

LIMITS = Limits(cpu_seconds=0.5, wall_seconds=10.0)
"""What a program may use while a task is prepared: one that takes longer is of no use here."""
_CALLS = 16
"""Calls tried per function."""
_LONGEST = 120
"""Characters of a value, or of a call, beyond which nobody would write it into a check."""
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


# --- reading the reference -------------------------------------------------------------------------------------------


def read_reference(problem: Problem) -> tuple[list[SimulatedFunction], str]:
    """The functions that an answer has to bring, the one asked for first, and the other statements it needs.

    Args:
        problem: its reference is read.

    Raises:
        BenchmarkError: what is asked for is a lambda, a class or a coroutine, of which no mistakes are made.
    """
    given = _given_names(problem)
    nodes = [n for n in parse(problem.reference).body if not (isinstance(n, ast.Expr))]
    mine = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name not in given]
    given_texts = {ast.unparse(node) for node in _given(problem)}
    others = [n for n in nodes if not isinstance(n, ast.FunctionDef) and ast.unparse(n) not in given_texts]
    names = {node.name for node in mine}
    mine.sort(key=lambda node: node.name != problem.entry_point)
    if not mine or mine[0].name != problem.entry_point:
        raise BenchmarkError(
            f"the reference of {problem.id} has no `def {problem.entry_point}`, which a simulation changes",
            "leave this task out: --tasks names those to simulate",
        )
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
    body = parse(problem.prompt.rstrip() + "\n    pass\n").body
    return [n for n in body if getattr(n, "name", None) != problem.entry_point]


def _given_names(problem: Problem) -> set[str]:
    return {node.name for node in _given(problem) if isinstance(node, ast.FunctionDef)}


# --- calls and their values ------------------------------------------------------------------------------------------


def calls_of(
    problem: Problem, task: Task, functions: Sequence[SimulatedFunction], sandbox: Sandbox
) -> dict[str, dict[str, str]]:
    """Calls and right values of each function: those of helpers are recorded while the reference runs.

    Args:
        problem: with the reference.
        task: what the team gets of it.
        functions: see `read_reference`.
        sandbox: runs the reference.

    Raises:
        SandboxError: the sandbox failed.
    """
    spec = task if task.signature else task.model_copy(update={"signature": functions[0].signature})
    asked = list(generate_inputs(spec, _CALLS, seed=0))
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
    verdict = sandbox.run(Program(source=source, checks=tuple(asked)), LIMITS)
    found: dict[str, None] = {}
    for result in verdict.checks:
        texts = _literal(result.observed, longest=1000)
        for text in cast("list[str]", literal(texts)) if texts else ():
            arguments = text.partition("(")[2][:-1]
            if _literal(f"({arguments},)", longest=1000):
                found[text] = None
    return list(found)


def _values(source: str, calls: Sequence[str], sandbox: Sandbox) -> dict[str, str]:
    """The calls that return a short literal, with it."""
    tried = [call for call in calls if len(call) <= _LONGEST]
    results = observe(source, tried, sandbox)
    return {call: value for call, value in zip(tried, results, strict=True) if value is not None}


def observe(source: str, calls: Sequence[str], sandbox: Sandbox) -> list[str | None]:
    """What calls return, as literals; None where that is none, or where they raise.

    Args:
        source: a module.
        calls: of its functions.
        sandbox: runs it.

    Raises:
        SandboxError: the sandbox failed.
    """
    checks = tuple(Check(code=call) for call in calls)
    verdict = sandbox.run(Program(source=source, checks=checks), LIMITS)
    seen = [_literal(result.observed) if result.error is None else None for result in verdict.checks]
    return seen + [None] * (len(calls) - len(seen))


def _literal(text: str | None, longest: int = _LONGEST) -> str | None:
    if text is None or len(text) > longest:
        return None
    try:
        literal(text)
    except ValueError:
        return None
    return text


def without_docstring(function: ast.FunctionDef) -> str:
    """A function's text without its docstring: two that differ in nothing else are equal texts."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    bare = ast.FunctionDef(**{**dict(ast.iter_fields(function)), "body": body or [ast.Pass()]})
    return ast.unparse(ast.fix_missing_locations(bare))
