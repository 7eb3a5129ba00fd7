"""The checks of a test class: each method on its own, with what the class sets up for it. Pure functions of a tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from leafwise.agents.errors import TaskError
from leafwise.runtime.sandbox_contracts import Check

Function = ast.FunctionDef | ast.AsyncFunctionDef
_CASE = "_case"
"""What the object of a plain test class is called in its checks."""
_FOR_A_CLASS = {True: ("setUpClass", "tearDownClass"), False: ("setup_class", "teardown_class")}
_FOR_A_METHOD = ("setup_method", "teardown_method")
_NEVER_RUN = ("setup", "teardown")  # nose's, which pytest has given up


def checks_of_class(statement: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[Check]:
    """One check for each test method of a class, inherited ones too; none if the class is no test.

    What is set up for a whole class is set up for each of its tests: they are tried one by one.

    Args:
        statement: the class.
        classes: the file's classes by name, for what is inherited.

    Raises:
        TaskError: a test, or what sets it up, cannot be run.
    """
    lineage = list(_lineage(statement, classes))
    is_case = any(ast.unparse(base).endswith("TestCase") for c in lineage for base in c.bases)
    if is_skipped(statement) or not (is_case or statement.name.startswith("Test")):
        return []
    methods: dict[str, Function] = {}
    for member in (m for c in lineage for m in c.body if isinstance(m, Function)):
        methods.setdefault(member.name, member)
    tests = [m for m in methods.values() if m.name.startswith("test") and not is_skipped(m)]
    for test in tests:
        refuse_what_cannot_run(test, takes=1)
    if tests and not is_case:
        _refuse_setup(methods)
    return [Check(code=_code(statement.name, test.name, methods, is_case)) for test in tests]


def _lineage(statement: ast.ClassDef, classes: Mapping[str, ast.ClassDef], depth: int = 0) -> Iterator[ast.ClassDef]:
    """A class and its bases in the file, in about the order in which Python looks for methods."""
    yield statement
    for base in statement.bases if depth < len(classes) else ():
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _lineage(classes[base.id], classes, depth + 1)


def _code(name: str, test: str, methods: Mapping[str, Function], is_case: bool) -> str:
    """How one test runs: an expression where nothing has to be done before or after it."""
    before, after = ([f"{name}.{hook}()"] if hook in methods else [] for hook in _FOR_A_CLASS[is_case])
    run = f"{name}('{test}').debug()" if is_case else f"{name}().{test}()"  # debug() runs setUp and tearDown
    if not is_case and any(hook in methods for hook in _FOR_A_METHOD):
        run = f"{_CASE}.{test}()"
        before.append(f"{_CASE} = {name}()")
        hooks = [_call_of_hook(methods[hook], test) if hook in methods else [] for hook in _FOR_A_METHOD]
        before += hooks[0]
        after = hooks[1] + after
    if after:
        run = "\n    ".join(["try:", run]) + "\n" + "\n    ".join(["finally:", *after])
    return "\n".join([*before, run])


def _call_of_hook(hook: Function, test: str) -> list[str]:
    """A hook that takes an argument gets the test method, as from pytest."""
    return [f"{_CASE}.{hook.name}({f'{_CASE}.{test}' if _parameters(hook) > 1 else ''})"]


def _refuse_setup(methods: Mapping[str, Function]) -> None:
    """Tests without what sets them up would fail for a right answer.

    Raises:
        TaskError: a fixture that is there for every test, or a form that pytest does not run either.
    """
    for method in methods.values():
        fixture = any("fixture" in ast.unparse(decorator) for decorator in method.decorator_list)
        called = any(f".{method.name}(" in ast.unparse(other) for other in methods.values())
        if fixture or (method.name in _NEVER_RUN and not called):
            hint = "name it setup_method or teardown_method, and let it take nothing but self"
            raise TaskError(f"{method.name}, which sets up tests, cannot be run", hint)
        if method.name in (*_FOR_A_CLASS[False], *_FOR_A_METHOD):
            refuse_what_cannot_run(method, takes=2 if method.name in _FOR_A_METHOD else 1)


def refuse_what_cannot_run(test: Function, takes: int) -> None:
    """Leaving a test out without a word would make a wrong answer pass.

    Args:
        test: a test, or what sets one up.
        takes: how many arguments it gets, its own object or class among them.

    Raises:
        TaskError: the test is asynchronous or wants arguments (pytest's fixtures and parameters are not there).
    """
    if isinstance(test, ast.AsyncFunctionDef) or _parameters(test) > takes:
        why = "it is asynchronous" if isinstance(test, ast.AsyncFunctionDef) else "it takes arguments"
        hint = "write it as a plain function without arguments: fixtures and parametrize are not there"
        raise TaskError(f"the test {test.name} cannot be run: {why}", hint)


def _parameters(function: Function) -> int:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)


def is_skipped(test: Function | ast.ClassDef) -> bool:
    """Whether a decorator says that a test is not to be run."""
    return any("skip" in ast.unparse(decorator).lower() for decorator in test.decorator_list)
