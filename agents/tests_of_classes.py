"""The checks of a test class: each method on its own, with what the class sets up for it. Pure functions of a tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from leafwise.agents.errors import TaskError
from leafwise.agents.parametrized import Values, cases_of, leave_out, resolved
from leafwise.agents.tests_in_order import stored
from leafwise.runtime.sandbox_contracts import Check

Function = ast.FunctionDef | ast.AsyncFunctionDef
_CASE = "_case"
"""What the object of a plain test class is called in its checks."""
_FOR_A_CLASS = {True: ("setUpClass", "tearDownClass"), False: ("setup_class", "teardown_class")}
_FOR_A_METHOD = ("setup_method", "teardown_method")
_NEVER_RUN = ("setup", "teardown")  # nose's, which pytest has given up
UNDERSTOOD = (
    "understood are plain functions and methods without arguments, pytest.mark.parametrize with cases that are written "
    "down, pytest.raises, approx, fail and param"
)
"""What of pytest can be run."""


def checks_of_class(
    statement: ast.ClassDef, classes: Mapping[str, ast.ClassDef], values: Values | None = None
) -> list[Check]:
    """One check for each case of each test method of a class, inherited ones too; none if the class is no test.

    What is set up for a whole class is set up for each of its tests: they are tried one by one.

    Args:
        statement: the class.
        classes: the file's classes by name, for what is inherited.
        values: of the module's names, for the cases of parametrized tests.

    Raises:
        TaskError: a test, or what sets it up, cannot be run.
    """
    lineage, known = list(_lineage(statement, classes)), values or {}
    is_case = any(ast.unparse(base).endswith("TestCase") for c in lineage for base in c.bases)
    if leave_out(statement.decorator_list, known) or not (is_case or statement.name.startswith("Test")):
        return []
    methods: dict[str, Function] = {}
    for c in lineage:
        own = {member.name: member for member in c.body if isinstance(member, Function)}
        methods |= {name: member for name, member in own.items() if name not in methods}
        _refuse_names_inside(c)
    tests = [m for m in methods.values() if m.name.startswith("test") and not leave_out(m.decorator_list, known)]
    if not is_case:
        _refuse_classes_inside(statement)
    if tests and not is_case:
        _refuse_setup(methods)
    marks = [mark for c in lineage for mark in c.decorator_list]
    return [
        Check(code=_code(statement.name, test.name, case, methods, is_case))
        for test in tests
        for case in cases(test, marks, known, takes=1, may_have=not is_case)
    ]


def cases(test: Function, marks: Sequence[ast.expr], values: Values, takes: int, may_have: bool = True) -> list[str]:
    """The arguments of each call of a test that is to be tried: one call without any, unless it is parametrized.

    Args:
        test: the test.
        marks: decorators of its class.
        values: of the module's names.
        takes: how many arguments it gets anyway.
        may_have: whether it may be parametrized.

    Raises:
        TaskError: it cannot be run.
    """
    decorators = [resolved(decorator, values) for decorator in (*test.decorator_list, *marks)]
    if leave_out(decorators, values):
        return []
    names, found = cases_of(test.name, decorators, values)
    missing = sorted({*names} - {argument.arg for argument in _arguments(test)})
    if missing or (names and not may_have):
        why = f"it does not take {missing[0]}" if missing else "methods of a TestCase get no arguments"
        raise TaskError(f"the test {test.name} cannot be run with parametrize: {why}", UNDERSTOOD)
    if any("usefixtures" in ast.unparse(decorator) for decorator in decorators):
        raise TaskError(f"the test {test.name} cannot be run: it uses fixtures", UNDERSTOOD)
    refuse_what_cannot_run(test, takes + len(names))
    return found


def _lineage(statement: ast.ClassDef, classes: Mapping[str, ast.ClassDef], depth: int = 0) -> Iterator[ast.ClassDef]:
    """A class and its bases in the file, in about the order in which Python looks for methods."""
    yield statement
    for base in statement.bases if depth < len(classes) else ():
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _lineage(classes[base.id], classes, depth + 1)


def _code(name: str, test: str, case: str, methods: Mapping[str, Function], is_case: bool) -> str:
    """How one test runs: an expression where nothing has to be done before or after it."""
    before, after = ([f"{name}.{hook}()"] if hook in methods else [] for hook in _FOR_A_CLASS[is_case])
    run = f"{name}('{test}').debug()" if is_case else f"{name}().{test}({case})"  # debug() runs setUp and tearDown
    if not is_case and any(hook in methods for hook in _FOR_A_METHOD):
        run = f"{_CASE}.{test}({case})"
        before.append(f"{_CASE} = {name}()")
        hooks = [_call_of_hook(methods[hook], test) if hook in methods else [] for hook in _FOR_A_METHOD]
        before += hooks[0]
        after = hooks[1] + after
    if after:
        run = "\n    ".join(["try:", run]) + "\n" + "\n    ".join(["finally:", *after])
    return "\n".join([*before, run])


def _call_of_hook(hook: Function, test: str) -> list[str]:
    """A hook that takes an argument gets the test method, as from pytest."""
    return [f"{_CASE}.{hook.name}({f'{_CASE}.{test}' if len(_arguments(hook)) > 1 else ''})"]


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


def _refuse_names_inside(statement: ast.ClassDef) -> None:
    """Cases stand in calls outside of the class, where its names are not known.

    Raises:
        TaskError: a decorator of a method has one.
    """
    own = {*stored(statement.body)}
    for method in (m for m in statement.body if isinstance(m, Function)):
        names = {n.id for d in method.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
        if method.name.startswith("test") and (used := sorted(names & own)):
            raise TaskError(
                f"the test {method.name} cannot be run: its decorators use {used[0]} of its class",
                f"move {used[0]} out of the class",
            )


def _refuse_classes_inside(statement: ast.ClassDef) -> None:
    """Raise a TaskError for tests of a class in a class, which pytest would run."""
    for inner in statement.body:
        if isinstance(inner, ast.ClassDef) and inner.name.startswith("Test"):
            raise TaskError(f"the tests of {inner.name} cannot be run: it is inside of a class", "move it out of it")


def refuse_what_cannot_run(test: Function, takes: int) -> None:
    """Leaving a test out without a word would make a wrong answer pass.

    Args:
        test: a test, or what sets one up.
        takes: how many arguments it gets, its own object or class among them.

    Raises:
        TaskError: the test is asynchronous or wants other arguments (pytest's fixtures are not there).
    """
    if isinstance(test, ast.AsyncFunctionDef) or len(_arguments(test)) > takes:
        why = "it is asynchronous" if isinstance(test, ast.AsyncFunctionDef) else "it takes arguments"
        hint = f"fixtures are not there, so call what they would do; {UNDERSTOOD}"
        raise TaskError(f"the test {test.name} cannot be run: {why}", hint)


def _arguments(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
