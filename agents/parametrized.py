"""Cases of `pytest.mark.parametrize` in a tests file: each is a check of its own. Pure functions of the tree.

The cases have to be told without running anything: they are those of a list that is written down, where it is used or
as the only value of a name of the module.
"""

from __future__ import annotations

import ast
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from leafwise.agents.errors import TaskError
from leafwise.agents.tests_in_order import stored

Values = Mapping[str, ast.expr]
"""The names that a module gives one value only, and it."""
_MOST_CASES = 1_000
_HINT = "write the cases as a list, such as [(1, 2), pytest.param(3, 4)], at once or as the only value of a name"
_PARAMETERS = ("argnames", "argvalues", "indirect", "ids", "scope")
_LEFT_OUT = ("skip", "xfail", "expectedfailure")
_CHANGING = frozenset(
    ("append", "extend", "insert", "pop", "popitem", "remove", "clear", "update", "setdefault", "add", "discard")
)
"""Methods after which a list, table or set is another one than was written down."""


def values_of(module: ast.Module) -> Values:
    """The names that a module gives a value once, at its top level, and does not change afterwards."""
    times, changed = Counter(stored(module.body)), {*_changed(module)}
    found: dict[str, ast.expr] = {}
    for statement in module.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if times[name] == 1 and name not in changed:
                found[name] = value
    return found


def _changed(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in _CHANGING:
                yield name
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                yield name
            case ast.Global(names=names):
                yield from names


def resolved(decorator: ast.expr, values: Values) -> ast.expr:
    """A decorator, which may be a name of the module."""
    return values.get(decorator.id, decorator) if isinstance(decorator, ast.Name) else decorator


def leave_out(marks: Sequence[ast.expr], values: Values) -> bool:
    """Whether one of these decorators or marks says that a test is not to be run, or that it fails."""
    names = [ast.unparse(resolved(mark, values)).partition("(")[0].lower() for mark in marks]
    return any(word in name for name in names for word in _LEFT_OUT)


def cases_of(test: str, decorators: Sequence[ast.expr], values: Values) -> tuple[list[str], list[str]]:
    """The parametrized names of a test, and its cases: every one of each decorator with every one of the others.

    Args:
        test: what the test is called.
        decorators: those of the function and of its class.
        values: of the module.

    Returns:
        The names, and for each case the arguments as they stand in a call. One case without arguments if there is
        no parametrize.

    Raises:
        TaskError: the cases are not written down, do not fit the names, or are too many.
    """
    names: list[str] = []
    cases: list[list[str]] = []
    for decorator in decorators:
        match resolved(decorator, values):
            case ast.Call(func=ast.Attribute(attr="parametrize")) as call:
                given, found = _read(test, call, values)
                names += given
                cases.append([", ".join(f"{n}={v}" for n, v in zip(given, case, strict=True)) for case in found])
    if math.prod(map(len, cases)) > _MOST_CASES:
        raise TaskError(f"the test {test} has more than {_MOST_CASES:,} cases", "leave some out")
    if len({*names}) < len(names):
        _refuse(test, "a name is parametrized twice")
    return names, [", ".join(chosen) for chosen in itertools.product(*cases)]


def _refuse(test: str, why: str) -> NoReturn:
    raise TaskError(f"the test {test} cannot be run: {why}", _HINT)


def _read(test: str, call: ast.Call, values: Values) -> tuple[list[str], list[list[str]]]:
    """Names and cases of one parametrize; what they are called (`ids`) is not needed."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    given |= dict(zip(_PARAMETERS, call.args, strict=False))
    is_indirect = None in given or ("indirect" in given and _text(given["indirect"]) != "False")
    if is_indirect or not {"argnames", "argvalues"} <= given.keys():
        _refuse(test, "its parametrize is indirect, or lacks names or cases")
    names, is_single = _names(test, given["argnames"])
    cases = []
    for element in _elements(test, given["argvalues"], values):
        parts = _parts(element, is_single, values)
        if parts is None:
            continue
        if len(parts) != len(names) or any(isinstance(part, ast.Starred) for part in parts):
            _refuse(test, f"its case {_text(element)} is not one value for each of {', '.join(names)}")
        cases.append([*map(ast.unparse, parts)])
    return names, cases


def _names(test: str, node: ast.expr) -> tuple[list[str], bool]:
    """The names, and whether a case is a value by itself and no tuple of values."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        value = None
    match value:
        case str():
            names = [name.strip() for name in value.split(",") if name.strip()]
            return names, len(names) == 1
        case [str(), *_]:
            return [*map(str, value)], False
        case _:
            _refuse(test, f"the names of its parametrize are no text ({_text(node)})")


def _parts(element: ast.expr, is_single: bool, values: Values) -> Sequence[ast.expr] | None:
    """The values of one case; None for one that is not to be run."""
    match element:
        case ast.Call(func=ast.Attribute(attr="param") | ast.Name(id="param")):
            return None if leave_out(_marks(element, values), values) else element.args
        case _ if is_single:
            return [element]
        case ast.Name(id=name) if name in values:
            return _parts(values[name], is_single, {key: value for key, value in values.items() if key != name})
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return parts
        case _:
            return []


def _marks(case: ast.Call, values: Values) -> Sequence[ast.expr]:
    """What `pytest.param(..., marks=...)` has: one mark, or some."""
    for keyword in case.keywords:
        if keyword.arg == "marks":
            marks = resolved(keyword.value, values)
            return marks.elts if isinstance(marks, ast.List | ast.Tuple) else [marks]
    return []


def _elements(test: str, node: ast.expr, values: Values) -> Iterator[ast.expr]:
    match node:
        case ast.Name(id=name) if name in values:
            yield from _elements(test, values[name], {key: value for key, value in values.items() if key != name})
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            for element in elements:
                inner = _elements(test, element.value, values) if isinstance(element, ast.Starred) else [element]
                yield from inner
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _elements(test, left, values)
            yield from _elements(test, right, values)
        case ast.Call(func=ast.Attribute(value=table, attr="items"), args=[], keywords=[]):
            yield from _items(test, resolved(table, values))
        case ast.Call(func=ast.Name(id="range"), args=arguments, keywords=[]) if bounds := _bounds(arguments):
            yield from map(ast.Constant, itertools.islice(range(*bounds), _MOST_CASES + 1))
        case _:
            _refuse(test, f"its cases are computed ({_text(node)})")


def _items(test: str, table: ast.expr) -> Iterator[ast.expr]:
    if not isinstance(table, ast.Dict):
        _refuse(test, f"its cases are computed ({_text(table)})")
    for key, value in zip(table.keys, table.values, strict=True):
        if key is None:
            _refuse(test, f"its cases are computed ({_text(value)})")
        yield ast.Tuple(elts=[key, value], ctx=ast.Load())


def _bounds(arguments: Sequence[ast.expr]) -> list[int]:
    """Start, stop and step of a range of numbers that are written down; nothing for any other."""
    try:
        numbers = [ast.literal_eval(argument) for argument in arguments]
    except (ValueError, TypeError, RecursionError):
        return []
    fits = len(numbers) <= 3 and all(type(number) is int for number in numbers) and numbers[2:] != [0]
    return numbers if fits else []


def _text(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
