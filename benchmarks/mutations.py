"""Wrong programs from right ones: one seeded change to a module's syntax tree."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator

from leafwise.runtime.syntax import parse

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.FloorDiv,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitXor,
    ast.BitXor: ast.BitAnd,
}
Change = Callable[[], None]
"""Changes the tree it was made for."""


def mutants(source: str, count: int, dice: random.Random) -> list[str]:
    """Modules that differ from one in one place each.

    Most are wrong, some are still right, and some never end.

    Args:
        source: a module.
        count: how many.
        dice: decides which places.

    Returns:
        Different ones; fewer than `count` where there are not so many places, none if it does not parse.
    """
    try:
        tree = parse(source)
    except SyntaxError:
        return []
    places = list(range(len(list(_changes(tree)))))
    dice.shuffle(places)
    found: dict[str, None] = {}
    for place in places:
        if len(found) == count:
            break
        changed = copy.deepcopy(tree)
        list(_changes(changed))[place]()
        found[f"{ast.unparse(changed)}\n"] = None
    return list(found)


def _changes(tree: ast.Module) -> Iterator[Change]:
    """All that can be changed, in the order of the tree."""
    for node in ast.walk(tree):
        yield from _changes_of(node)


def _changes_of(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare) and (compared := _COMPARED.get(type(node.ops[0]))):
        yield lambda: node.ops.__setitem__(0, compared())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and (computed := _COMPUTED.get(type(node.op))):
        yield lambda: setattr(node, "op", computed())
    elif isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = node.value
        yield lambda: setattr(node, "value", number + 1)  # type: ignore[operator]
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and node.value is not None:
        yield lambda: setattr(node, "value", None)
