"""Whether an answer is computed at all, or only written down. Pure functions of the source."""

from __future__ import annotations

import ast

from leafwise.agents.examples import NO_CODE
from leafwise.runtime.syntax import parse

_READS_ALL = {"locals", "vars", "eval", "exec"}


def is_hard_coded(source: str, entry_point: str | None) -> bool:
    """Whether the function has parameters and reads none of them: it may give an example's value, and nothing else.

    Args:
        source: a module.
        entry_point: the function's name; without one nothing is said.
    """
    try:
        body = parse(source).body
    except NO_CODE:
        return False
    found = [n for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == entry_point]
    if not found:
        return False
    function = found[-1]
    arguments = function.args
    names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
    read = {
        node.id
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    read |= {
        node.target.id
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    return bool(names) and not read & (names | _READS_ALL)
