"""Reading what a user gives as an example: in any form that is found in text, or as an assert. Pure functions."""

from __future__ import annotations

import ast
import builtins
import re

from leafwise.agents.examples import NO_CODE, called_names, find_examples, stands_alone
from leafwise.agents.tests_in_order import check_of_assert
from leafwise.agents.usage_examples import find_usage_examples
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_ASSERT = re.compile(r"assert\b\s*")
_MODULES = ("collections", "copy", "functools", "itertools", "json", "math", "operator", "re", "string")
"""What the sandbox imports for checks that name it."""


def read_example(text: str, about: str | None = None) -> list[Check]:
    """The checks that one example of the user's gives; none if it is in no known form.

    Args:
        text: `f(2) == 4`, any condition that calls something (`f(2) != 3`, `assert set(f(x)) == {1}`), statements that
            end with a condition, a doctest, or "f(2) returns 4".
        about: see `find_examples`.
    """
    return find_usage_examples(text) or _conditions(text.strip().strip("`"), about) or find_examples(text, about)


def _conditions(text: str, about: str | None) -> list[Check]:
    """The text as the condition of one assert, with or without that word; each part of an `and` by itself.

    Several examples on one line, which Python takes for a condition and its message, are left to the other forms.
    """
    begin = _ASSERT.match(text)
    source = f"assert {text[begin.end() :] if begin else text}"
    try:
        (statement,) = parse(source).body
    except NO_CODE:
        return []
    if not isinstance(statement, ast.Assert) or (statement.msg and not (begin and _calls_nothing(statement.msg))):
        return []
    test = statement.test
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    usable = all(
        _is_condition(part, begin is not None) and stands_alone(ast.unparse(part), _MODULES, about) for part in parts
    )
    return [_check(source, part) for part in parts] if usable else []


def _is_condition(part: ast.expr, is_assert: bool) -> bool:
    """Whether something is said about a call; `f(2)` alone may lack its value, and a pair is true whatever is in it."""
    match part:
        case ast.Compare(ops=ops):
            return not any(isinstance(op, ast.Is) for op in ops)  # "f(2) is 3" is a word, and not about identity
        case ast.UnaryOp(op=ast.Not()) | ast.BoolOp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return is_assert or hasattr(builtins, name)
        case ast.Call():
            return True
        case _:
            return is_assert and not isinstance(part, ast.Tuple)


def _check(source: str, part: ast.expr) -> Check:
    """As in a tests file; a call and its value as they are written, for the task's text may have the same example."""
    check = check_of_assert(ast.Assert(test=part))
    if check.expected is None or not isinstance(part, ast.Compare):
        return check
    code, expected = (ast.get_source_segment(source, node) or "" for node in (part.left, part.comparators[0]))
    return check if "\n" in code + expected else Check(code=code, expected=expected)


def _calls_nothing(node: ast.expr) -> bool:
    return not called_names(ast.unparse(node))
