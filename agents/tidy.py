"""Taking definitions out of a module, with the rest of its text as it was written."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeGuard

from leafwise.agents.assembly import mentioned, registering
from leafwise.agents.examples import NO_CODE
from leafwise.runtime.syntax import parse

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def without_definitions(code: str, names: Collection[str]) -> str:
    """A module without its own functions and classes of these names.

    Args:
        code: a module that parses.
        names: of what it should not define.
    """
    return _without(code, (node for node in parse(code).body if isinstance(node, _Definition) and node.name in names))


def without_tests(code: str, setup: str, entry_point: str | None) -> str:
    """A module without what it copied from the user's tests file: it has to pass those, not to bring them.

    Args:
        code: a module that parses.
        setup: see `Spec.setup`.
        entry_point: stays, whatever the tests file has of that name.
    """
    try:
        theirs = {node.name for node in parse(setup).body if isinstance(node, _Definition)}
    except NO_CODE:  # a data set's; whoever runs it will hear of it
        return code
    own = [node for node in parse(code).body if isinstance(node, _Definition) and node.name != entry_point]
    # a helper of the same name is the answer's own: it runs apart from the tests
    return without_definitions(code, {node.name for node in own if node.name in theirs and _is_test(node)})


def _is_test(node: _Definition) -> bool:
    cased = isinstance(node, ast.ClassDef) and any("TestCase" in ast.unparse(base) for base in node.bases)
    return cased or node.name.startswith(("Test", "test_"))


def tidied(code: str, keep: Collection[str]) -> str:
    """A module without functions and classes that nothing in it needs, and without all but the last of one name.

    Args:
        code: a module that parses.
        keep: names that somebody else needs.
    """
    code = _without(code, _replaced(parse(code).body))
    nodes = {str(i): node for i, node in enumerate(parse(code).body)}
    own = registering([*nodes.values()])
    roots = {k for k, node in nodes.items() if not isinstance(node, _Definition) or node.name in keep or node in own}
    kept = mentioned(nodes, roots)
    return _without(code, (node for key, node in nodes.items() if key not in kept))


def _replaced(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Functions that a later one of the same name replaces before anything can have used them."""
    for place, node in enumerate(body):
        if not _is_plain(node):
            continue
        for later in body[place + 1 :]:
            if not _is_plain(later) or node.name in _used_at_once(later):
                break
            if later.name == node.name:
                yield node
                break


def _is_plain(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Whether a statement defines a function and does nothing else: calls in a default may use or change anything."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
        return False
    return not any(isinstance(found, ast.Call | ast.NamedExpr) for found in _done_at_once(node))


def _used_at_once(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that are looked up when a function is defined."""
    return {found.id for found in _done_at_once(node) if isinstance(found, ast.Name)}


def _done_at_once(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """What is evaluated when a function is defined: its defaults and annotations."""
    for part in (node.args, *filter(None, [node.returns])):
        yield from ast.walk(part)


def _without(code: str, nodes: Iterable[ast.stmt]) -> str:
    lines: list[str | None] = [*code.split("\n")]
    for node in nodes:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
        end = node.end_lineno or first
        lines[first - 1 : end] = [None] * (end - first + 1)
    if None not in lines:
        return code
    return "\n".join(line for line in lines if line is not None).strip("\n") + "\n"
