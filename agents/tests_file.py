"""Reading a tests file given by the user: its checks, each on its own, and the code they need first."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from leafwise.agents.errors import TaskError
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_PACKAGES = frozenset(("pytest", "hypothesis", "numpy", "pandas", "scipy", "sympy", "nose", "parameterized", "mock"))


def read_tests_file(
    path: Path, entry_point: str | None = None, allow_imports: Sequence[str] = ()
) -> tuple[str, tuple[Check, ...]]:
    """Setup code and checks of a tests file.

    Understood: top-level `assert`s, `test_*` functions, `unittest.TestCase` methods, and HumanEval's
    `check(candidate)`. Everything else at top level (imports, helpers, constants) is setup. The sandbox has the
    standard library and what is allowed.

    Args:
        path: the file.
        entry_point: the function under test; needed for `check(candidate)`.
        allow_imports: packages that the sandbox will have.

    Raises:
        TaskError: the file is missing, is not Python, or holds no check.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read the tests file {path}: {error}", "give a Python file with asserts") from error
    return read_tests(text, str(path), entry_point, allow_imports)


def read_tests(
    text: str, name: str = "tests", entry_point: str | None = None, allow_imports: Sequence[str] = ()
) -> tuple[str, tuple[Check, ...]]:
    """Setup code and checks of a test module's text; see `read_tests_file`."""
    try:
        module = parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise TaskError(f"the tests file {name} has a syntax error{where}", "run it with python to see it") from error
    setup: list[ast.stmt] = []
    checks: list[Check] = []
    for statement in module.body:
        if (changed := _import_of_answer(statement, name, allow_imports)) is not None:
            setup.append(changed)
            continue
        found = _checks_of(statement, entry_point)
        checks += found
        if not isinstance(statement, ast.Assert) and not _runs_tests(statement):
            setup.append(statement)
    checks = list(dict.fromkeys(checks))
    if not checks:
        raise TaskError(
            f"no check found in the tests file {name}", "write asserts, test_* functions or unittest.TestCase methods"
        )
    return ast.unparse(ast.Module(body=setup, type_ignores=[])), tuple(checks)


def _import_of_answer(statement: ast.stmt, name: str, allowed: Sequence[str]) -> ast.stmt | None:
    """An import, as the sandbox can do it.

    Names of the standard library and of allowed packages stay. A module that is not known is the answer under the
    user's own name for it; the sandbox calls it `solution`.

    Raises:
        TaskError: it is a well-known package that the sandbox does not have.
    """
    match statement:
        case ast.Import(names=names):
            modules = [alias.name for alias in names]
            aliases = [_as_solution(alias, allowed) for alias in names]
            changed: ast.stmt = ast.Import(names=aliases)
        case ast.ImportFrom(module=str(module), names=names):
            modules = [module]
            changed = (
                statement if _is_known(module, allowed) else ast.ImportFrom(module="solution", names=names, level=0)
            )
        case _:
            return None
    if foreign := [top for m in modules if (top := m.split(".")[0]) in _PACKAGES and top not in allowed]:
        raise TaskError(
            f"the tests file {name} imports {foreign[0]}, which the sandbox does not have",
            f"use asserts and the standard library only, or give --allow-import {foreign[0]}",
        )
    return changed


def _is_known(module: str, allowed: Sequence[str]) -> bool:
    top = module.split(".")[0]
    return top == "__future__" or top in sys.stdlib_module_names or top in allowed


def _as_solution(alias: ast.alias, allowed: Sequence[str]) -> ast.alias:
    return alias if _is_known(alias.name, allowed) else ast.alias(name="solution", asname=alias.asname or alias.name)


def _checks_of(statement: ast.stmt, entry_point: str | None) -> list[Check]:
    match statement:
        case ast.Assert():
            return [check_of_assert(statement)]
        case ast.FunctionDef(name="check") if entry_point and len(statement.args.args) == 1:
            return [Check(code=f"check({entry_point})")]
        case ast.FunctionDef() | ast.AsyncFunctionDef() if statement.name.startswith("test"):
            _refuse_what_cannot_run(statement, takes=0)
            return [Check(code=f"{statement.name}()")] if not _is_skipped(statement) else []
        case ast.Expr(value=ast.Call(func=ast.Name(id=name)) as call) if _is_test(name):
            return [Check(code=ast.unparse(call))]
        case ast.ClassDef() if (form := _form_of_class(statement)) and not _is_skipped(statement):
            kinds = ast.FunctionDef | ast.AsyncFunctionDef
            methods = [m for m in statement.body if isinstance(m, kinds) and m.name.startswith("test")]
            for method in methods:
                _refuse_what_cannot_run(method, takes=1)
            return [Check(code=form.format(statement.name, m.name)) for m in methods if not _is_skipped(m)]
        case _:
            return []


def _form_of_class(statement: ast.ClassDef) -> str:
    """How one test method of a class is run; empty if the class is no test."""
    if any(ast.unparse(base).endswith("TestCase") for base in statement.bases):
        return "{0}('{1}').debug()"
    return "{0}().{1}()" if statement.name.startswith("Test") else ""


def _refuse_what_cannot_run(test: ast.FunctionDef | ast.AsyncFunctionDef, takes: int) -> None:
    """Leaving a test out without a word would make a wrong answer pass.

    Raises:
        TaskError: the test is asynchronous or wants arguments (pytest's fixtures and parameters are not there).
    """
    wanted = len(test.args.posonlyargs) + len(test.args.args) + len(test.args.kwonlyargs)
    if isinstance(test, ast.AsyncFunctionDef) or wanted > takes:
        why = "it is asynchronous" if isinstance(test, ast.AsyncFunctionDef) else "it takes arguments"
        raise TaskError(f"the test {test.name} cannot be run: {why}", "write it as a plain function without arguments")


def _is_skipped(test: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any("skip" in ast.unparse(decorator).lower() for decorator in test.decorator_list)


def check_of_assert(statement: ast.Assert) -> Check:
    """A check of an `assert`; of `call == value` with its expected value, so that the observed one can be told."""
    match statement.test:
        case ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[expected]):
            return Check(code=ast.unparse(call), expected=ast.unparse(expected))
        case _:
            return Check(code=ast.unparse(statement))


def _runs_tests(statement: ast.stmt) -> bool:
    """Whether a statement only starts the tests: as setup it would end the program, or fail before any check."""
    match statement:
        case ast.If(test=test):
            return "__name__" in ast.unparse(test)
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return _is_test(name)
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))):
            return name in ("main", "testmod")
        case _:
            return False


def _is_test(name: str) -> bool:
    return name.startswith("test") or name == "check"
