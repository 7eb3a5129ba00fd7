"""Reading a tests file given by the user: its checks, each on its own, and the code they need first."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from leafwise.agents.errors import TaskError
from leafwise.runtime.contracts import Check


def read_tests_file(path: Path, entry_point: str | None = None) -> tuple[str, tuple[Check, ...]]:
    """Setup code and checks of a tests file.

    Understood: top-level `assert`s, `test_*` functions, `unittest.TestCase` methods, and HumanEval's
    `check(candidate)`. Everything else at top level (imports, helpers, constants) is setup. The sandbox has the
    standard library only.

    Args:
        path: the file.
        entry_point: the function under test; needed for `check(candidate)`.

    Raises:
        TaskError: the file is missing, is not Python, or holds no check.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read the tests file {path}: {error}", "give a Python file with asserts") from error
    return read_tests(text, str(path), entry_point)


def read_tests(text: str, name: str = "tests", entry_point: str | None = None) -> tuple[str, tuple[Check, ...]]:
    """Setup code and checks of a test module's text; see `read_tests_file`."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise TaskError(f"the tests file {name} has a syntax error{where}", "run it with python to see it") from error
    setup: list[ast.stmt] = []
    checks: list[Check] = []
    for statement in module.body:
        if _imports_the_answer(statement, name, entry_point):
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


def _imports_the_answer(statement: ast.stmt, name: str, entry_point: str | None) -> bool:
    """Whether a statement imports the function under test, whose names the sandbox provides.

    Raises:
        TaskError: it imports something else that the sandbox does not have.
    """
    match statement:
        case ast.Import(names=names):
            modules = [alias.name.split(".")[0] for alias in names]
        case ast.ImportFrom(module=str(module), names=names):
            if entry_point in [alias.name for alias in names]:
                return True
            modules = [module.split(".")[0]]
        case _:
            return False
    if foreign := [m for m in modules if m not in sys.stdlib_module_names and m != "solution"]:
        raise TaskError(
            f"the tests file {name} imports {foreign[0]}, which the sandbox does not have",
            "use asserts and the standard library only; the answer's functions can be imported from solution",
        )
    return False


def _checks_of(statement: ast.stmt, entry_point: str | None) -> list[Check]:
    match statement:
        case ast.Assert():
            return [check_of_assert(statement)]
        case ast.FunctionDef(name="check") if entry_point and len(statement.args.args) == 1:
            return [Check(code=f"check({entry_point})")]
        case ast.FunctionDef() if statement.name.startswith("test") and not statement.args.args:
            return [Check(code=f"{statement.name}()")]
        case ast.Expr(value=ast.Call(func=ast.Name(id=name)) as call) if _is_test(name):
            return [Check(code=ast.unparse(call))]
        case ast.ClassDef() if any(ast.unparse(base).endswith("TestCase") for base in statement.bases):
            methods = [m.name for m in statement.body if isinstance(m, ast.FunctionDef) and m.name.startswith("test")]
            return [Check(code=f"{statement.name}({method!r}).debug()") for method in methods]
        case _:
            return []


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
