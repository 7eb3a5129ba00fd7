"""The asserts of a tests file as checks that keep the file's order. Pure functions of the tree.

A check may need what stands before it: `s = Stack(); s.push(1); assert s.peek() == 1; s.push(2); assert s.peek() == 2`.
So what stands between two asserts runs with the second. Whoever tries a task's examples tries all of them, in their
order, in one program whose checks share their names, so each finds what those before it left; if one fails, those
behind it may fail too, as in Python, which would not have come to them at all.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

from leafwise.runtime.sandbox_contracts import Check

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def checks_in_order(statements: Sequence[ast.stmt], setup: Sequence[ast.stmt]) -> list[Check]:
    """One check for each assert, with what stands between it and the one before.

    Args:
        statements: of a tests file, from the first assert on.
        setup: what runs before.
    """
    state = set(stored([*setup, *statements]))
    checks: list[Check] = []
    waiting: list[ast.stmt] = []
    for statement in statements:
        if _says_nothing(statement):
            continue
        waiting.append(statement)
        if not asserts(statement):
            continue
        check = _check(waiting)
        if len(waiting) > 1 or state & _read(statement):
            # it may well hold twice of what has changed, and change it again: s.pop() == 1
            check = _unlike(checks, check, waiting)
        checks += [check] if check not in checks else []
        waiting = []
    # behind the last assert: it may raise, which a right answer does not
    return [*checks, _unlike(checks, _check(waiting), waiting)] if waiting else checks


def _check(statements: Sequence[ast.stmt]) -> Check:
    match statements:
        case [ast.Assert() as alone]:
            return check_of_assert(alone)
        case _:
            return Check(code=_text(statements))


def _unlike(checks: Sequence[Check], check: Check, statements: Sequence[ast.stmt]) -> Check:
    """The check, or the same in other words if it is there: of two that are the same, one is dropped."""
    code = _text(statements)
    while check in checks:
        code = f"{code}  # again"
        check = Check(code=code)
    return check


def _text(statements: Sequence[ast.stmt]) -> str:
    return "\n".join(map(ast.unparse, statements))


def check_of_assert(statement: ast.Assert) -> Check:
    """A check of an `assert`; of `call == value` with its expected value, so that the observed one can be told."""
    match statement.test:
        case ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[expected]):
            return Check(code=ast.unparse(call), expected=ast.unparse(expected))
        case _:
            return Check(code=ast.unparse(statement))


def asserts(statement: ast.stmt) -> bool:
    """Whether a statement is an assert, or a loop or block with one in it."""
    return not isinstance(statement, Definition) and any(isinstance(n, ast.Assert) for n in ast.walk(statement))


def constants(module: ast.Module) -> list[ast.stmt]:
    """Assignments of literals to names that get no other value: they may as well come first, whatever runs before."""
    given = Counter(stored(module.body))
    return [node for node in module.body if _is_constant(node) and all(given[name] == 1 for name in stored([node]))]


def _is_constant(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name()], value=value):
            try:
                ast.literal_eval(value)
            except (ValueError, TypeError, RecursionError):
                return False
            return True
        case _:
            return False


def may_come_first(statement: ast.stmt, setup: Sequence[ast.stmt], rest: Sequence[ast.stmt]) -> bool:
    """Whether a statement is a definition that needs nothing of what waits, and replaces no earlier one.

    Args:
        statement: of a tests file.
        setup: what comes before all checks.
        rest: what waits for its turn among the checks.
    """
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            needed: list[ast.AST] = [*statement.decorator_list, statement.args]  # the body runs later
        case ast.ClassDef(name=name):
            inside = [node for node in statement.body if not isinstance(node, Definition)]
            needed = [*statement.bases, *statement.keywords, *statement.decorator_list, *inside]
        case _:
            return False
    read = {name for node in needed for name in _read(node)}
    return name not in stored([*setup, *rest]) and not read & set(stored(rest))


def stored(statements: Sequence[ast.stmt]) -> list[str]:
    """The names that statements of a module give something to, once for each time."""
    names: list[str] = []
    for statement in statements:
        if isinstance(statement, Definition):
            names.append(statement.name)
        else:
            stores = (n for n in ast.walk(statement) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load))
            names += [node.id for node in stores]
    return names


def _read(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement only talks: `print("all passed")`, a text, `pass`."""
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="print")) as call):
            return sum(isinstance(node, ast.Call) for node in ast.walk(call)) == 1
        case _:
            return False
