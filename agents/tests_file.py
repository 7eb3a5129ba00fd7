"""Reading a tests file given by the user: its checks, in the order of the file, and the code they need first."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from leafwise.agents.errors import TaskError
from leafwise.agents.parametrized import Values, values_of
from leafwise.agents.tests_in_order import Definition, asserts, checks_in_order, constants, may_come_first
from leafwise.agents.tests_of_classes import cases, checks_of_class
from leafwise.agents.tests_with_pytest import is_fixture, refuse_other_pytest, without_marks
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_PACKAGES = frozenset(("hypothesis", "numpy", "pandas", "scipy", "sympy", "nose", "parameterized", "mock"))
_OFFERED = "pytest"
"""The sandbox has a part of it."""
_HOOKS = ("setUpModule", "setup_module", "setup_function")


def read_tests_file(
    path: Path, entry_point: str | None = None, allow_imports: Sequence[str] = ()
) -> tuple[str, tuple[Check, ...]]:
    """Setup code and checks of a tests file.

    Understood: top-level `assert`s, `test_*` functions, `unittest.TestCase` methods, pytest's `Test*` classes, each
    case of `pytest.mark.parametrize`, and HumanEval's `check(candidate)`. Imports, helpers, and all else at top level
    before the first assert are setup; what stands between asserts belongs to the check behind it. The sandbox has the
    standard library, a part of pytest, and what is allowed.

    Args:
        path: the file.
        entry_point: the function under test; needed for `check(candidate)`.
        allow_imports: packages that the sandbox will have.

    Raises:
        TaskError: the file is missing, is not Python, holds no check, or one that cannot be run.
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
    module = _parsed(text, name)
    setup, rest, tests = list[ast.stmt](), list[ast.stmt](), list[Check]()
    last = {node.name: node for node in module.body if isinstance(node, Definition)}
    fixed, values = constants(module), values_of(module)
    refuse_other_pytest(module, name, is_there=_OFFERED in allow_imports)
    for statement in module.body:
        if (changed := _import_of_answer(statement, name, allow_imports)) is not None:
            setup.append(changed)
            continue
        tests += _tests_of(statement, entry_point, last, values)
        if is_fixture(statement) or _runs_tests(statement):
            continue
        if statement in fixed or (not rest and not asserts(statement)) or may_come_first(statement, setup, rest):
            setup.append(statement)
        else:
            rest.append(statement)
    for statement in (*setup, *rest):
        without_marks(statement, values)
    # as in Python, where a module is executed before any of its test functions is called
    checks = list(dict.fromkeys([*checks_in_order(rest, setup), *tests]))
    if not checks:
        raise TaskError(
            f"no check found in the tests file {name}", "write asserts, test_* functions or unittest.TestCase methods"
        )
    return ast.unparse(ast.Module(body=setup, type_ignores=[])), tuple(checks)


def _parsed(text: str, name: str) -> ast.Module:
    try:
        return parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise TaskError(f"the tests file {name} has a syntax error{where}", "run it with python to see it") from error


def _import_of_answer(statement: ast.stmt, name: str, allowed: Sequence[str]) -> ast.stmt | None:
    """An import, as the sandbox can do it.

    Names of the standard library and of allowed packages stay. A module that is not known is the answer under the
    user's own name for it; the sandbox calls it `solution`.

    Raises:
        TaskError: it is a well-known package that the sandbox does not have, or the answer as part of a package.
    """
    match statement:
        case ast.Import(names=names):
            modules = [alias.name for alias in names]
            _refuse_packages(names, name, allowed)
            changed: ast.stmt = ast.Import(names=[_as_solution(alias, allowed) for alias in names])
        case ast.ImportFrom(module=str(module), names=names, level=level):
            modules = [] if level else [module]
            is_known = not level and _is_known(module, allowed)
            changed = statement if is_known else ast.ImportFrom(module="solution", names=names, level=0)
        case ast.ImportFrom(names=names):  # from . import answer
            modules = []
            changed = ast.Import(names=[ast.alias(name="solution", asname=a.asname or a.name) for a in names])
        case _:
            return None
    if foreign := [top for m in modules if (top := m.split(".")[0]) in _PACKAGES and top not in allowed]:
        raise TaskError(
            f"the tests file {name} imports {foreign[0]}, which the sandbox does not have",
            f"use asserts and the standard library only, or give --allow-import {foreign[0]}",
        )
    return changed


def _refuse_packages(names: Sequence[ast.alias], name: str, allowed: Sequence[str]) -> None:
    """`import shop.prices` makes the name `shop`, and the answer is one module.

    Raises:
        TaskError: the answer is imported in this form.
    """
    for alias in names:
        top = alias.name.split(".")[0]
        if "." in alias.name and not alias.asname and top not in _PACKAGES and not _is_known(top, allowed):
            raise TaskError(
                f"the tests file {name} imports the answer as {alias.name}, and the answer is one module",
                f"write it as: from {alias.name} import ..., or: import {alias.name} as {alias.name.split('.')[-1]}",
            )


def _is_known(module: str, allowed: Sequence[str]) -> bool:
    top = module.split(".")[0]
    return top in ("__future__", _OFFERED) or top in sys.stdlib_module_names or top in allowed


def _as_solution(alias: ast.alias, allowed: Sequence[str]) -> ast.alias:
    return alias if _is_known(alias.name, allowed) else ast.alias(name="solution", asname=alias.asname or alias.name)


def _tests_of(
    statement: ast.stmt, entry_point: str | None, last: Mapping[str, Definition], values: Values
) -> list[Check]:
    """The checks of a definition, or of a call that runs tests; none of a definition that a later one replaces.

    Raises:
        TaskError: a test, or what sets it up, cannot be run.
    """
    if isinstance(statement, Definition) and last[statement.name] is not statement:
        return []
    match statement:
        case ast.FunctionDef(name="check") if entry_point and len(statement.args.args) == 1:
            return [Check(code=f"check({entry_point})")]
        case ast.FunctionDef() | ast.AsyncFunctionDef() if statement.name in _HOOKS:
            raise TaskError(
                f"{statement.name}, which sets up tests, cannot be run", "call it in the tests that need it"
            )
        case ast.FunctionDef() | ast.AsyncFunctionDef() if statement.name.startswith("test"):
            if is_fixture(statement):
                return []
            return [Check(code=f"{statement.name}({case})") for case in cases(statement, (), values, takes=0)]
        case ast.Expr(value=ast.Call(func=ast.Name(id=name)) as call) if _is_test(name):
            return [Check(code=ast.unparse(call))]
        case ast.ClassDef():
            classes = {name: node for name, node in last.items() if isinstance(node, ast.ClassDef)}
            return checks_of_class(statement, classes, values)
        case _:
            _refuse_tests_inside(statement)
            return []


def _refuse_tests_inside(statement: ast.stmt) -> None:
    """Raise a TaskError for tests in a block: its asserts would make it a check, and one that calls none of them."""
    if isinstance(statement, Definition) or _runs_tests(statement):
        return
    for node in ast.walk(statement):
        if isinstance(node, Definition) and node.name.lower().startswith("test"):
            raise TaskError(
                f"the test {node.name} cannot be run: it is inside of a block", "move it to the top level of the file"
            )


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
