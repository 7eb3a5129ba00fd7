"""What a tests file may use of pytest, of which the sandbox offers a part. Pure functions of the tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from leafwise.agents.errors import TaskError
from leafwise.agents.parametrized import Values, resolved
from leafwise.agents.tests_in_order import stored
from leafwise.agents.tests_of_classes import UNDERSTOOD

_OFFERED = frozenset(("raises", "approx", "fail", "param", "mark"))
_READ = frozenset(("fixture", "main"))
"""What is taken out of the file before it runs."""


def refuse_other_pytest(module: ast.Module, name: str, *, is_there: bool) -> None:
    """Refuse what is not understood of pytest before any model is asked for an answer.

    Args:
        module: the tests file.
        name: what it is called.
        is_there: whether the sandbox has all of pytest.

    Raises:
        TaskError: something else of pytest is used that is not there, or marks for all tests, which nobody reads:
            skipped tests would be run.
    """
    if "pytestmark" in stored([node for node in ast.walk(module) if isinstance(node, ast.stmt)]):
        raise TaskError(f"the tests file {name} marks all tests of it or of a class with pytestmark", "mark each test")
    for used in () if is_there else _used(module):
        if used not in _OFFERED | _READ:
            raise TaskError(
                f"the tests file {name} uses pytest.{used}, which the sandbox does not have",
                f"{UNDERSTOOD}; or install pytest and give --allow-import pytest",
            )


def _used(module: ast.Module) -> Iterator[str]:
    aliases = {"pytest"}
    for node in ast.walk(module):
        match node:
            case ast.Import(names=names):
                aliases |= {alias.asname for alias in names if alias.name == "pytest" and alias.asname}
            case ast.ImportFrom(module="pytest", names=names):
                yield from (alias.name for alias in names)
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id=base), attr=used) if base in aliases:
                yield used


def is_fixture(statement: ast.stmt) -> bool:
    """Whether a statement defines a fixture, which is never called: a test that asks for one is refused.

    Raises:
        TaskError: it would be there for every test.
    """
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    texts = [text for d in statement.decorator_list if _name(text := ast.unparse(d)).endswith("fixture")]
    if any("autouse" in text for text in texts):
        raise TaskError(f"{statement.name}, which sets up tests, cannot be run", "call it in the tests that need it")
    return bool(texts)


def without_marks(statement: ast.stmt, values: Values) -> None:
    """Take pytest's marks off a definition: they have been read, and would compute all cases before the first check."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        statement.decorator_list = [d for d in statement.decorator_list if not _is_mark(resolved(d, values))]
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            without_marks(inner, values)


def _is_mark(decorator: ast.expr) -> bool:
    return "mark." in _name(ast.unparse(decorator))


def _name(decorator: str) -> str:
    return decorator.partition("(")[0]
