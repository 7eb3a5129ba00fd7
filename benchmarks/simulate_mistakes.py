"""Typical mistakes: more ways to change a right function than `mutations` has, the quiet ones above all.

Forgotten special cases, forgotten conditions, the wrong one of two similar functions, a bound that is off by one: such
versions still load, and often pass an example or two.
"""

from __future__ import annotations

import ast
import copy
import functools
import random
from collections.abc import Callable, Iterator

from leafwise.benchmarks.mutations import mutants
from leafwise.runtime.syntax import parse

Change = Callable[[], object]
"""Changes the tree it was made for."""

_ALIKE = {
    **{"min": "max", "max": "min", "any": "all", "all": "any", "sum": "len", "len": "sum", "sorted": "list"},
    **{"lower": "upper", "upper": "lower", "strip": "lstrip", "isalpha": "isalnum", "isdigit": "isalnum"},
    **{"append": "extend", "startswith": "endswith", "endswith": "startswith", "find": "rfind", "index": "count"},
    **{"keys": "values", "values": "keys", "union": "intersection", "intersection": "union", "isupper": "islower"},
    **{"islower": "isupper", "ceil": "floor", "floor": "ceil"},
}
_WRAPPERS = frozenset({"sorted", "set", "abs", "round", "int", "list", "reversed", "str"})


def mistakes(source: str, count: int, dice: random.Random) -> list[str]:
    """Versions of a function that differ from it in one place each.

    Args:
        source: one function.
        count: how many.
        dice: decides which places, and their order.

    Returns:
        Different ones, without line breaks at their ends; fewer than `count` where there are not so many places.
    """
    tree = parse(source)
    found = dict.fromkeys(text.rstrip() for text in mutants(source, count, dice))
    for place in range(len(list(_changes(tree)))):
        changed = copy.deepcopy(tree)
        list(_changes(changed))[place]()
        found[ast.unparse(ast.fix_missing_locations(changed))] = None
    found.pop(ast.unparse(tree), None)
    texts = [text for text in found if _parses(text)]
    dice.shuffle(texts)
    return texts[:count]


def _parses(text: str) -> bool:
    try:
        parse(text)
    except SyntaxError:
        return False
    return True


def _changes(tree: ast.AST) -> Iterator[Change]:
    for node in ast.walk(tree):
        yield from _forgotten(node)
        yield from _forgotten_statements(node)
        yield from _confused(node)
        yield from _off(node)


def _forgotten(node: ast.AST) -> Iterator[Change]:
    """A condition, an argument or a conversion that is not there."""
    match node:
        case ast.comprehension(ifs=[_, *_]):
            yield node.ifs.clear
        case ast.BoolOp():
            yield from (functools.partial(_forget_operand, node, i) for i in range(len(node.values)))
        case ast.Call(keywords=[_, *_]):
            yield node.keywords.pop
        case ast.Call(func=ast.Name(id=name), args=[ast.expr()]) if name in _WRAPPERS:
            yield lambda: setattr(node, "func", parse("lambda x: x", mode="eval").body)
        case ast.Slice(step=ast.expr()):
            yield lambda: setattr(node, "step", None)


def _forgotten_statements(node: ast.AST) -> Iterator[Change]:
    """A statement that is not there: of several, or all that follows an `else`."""
    body, orelse = getattr(node, "body", None), getattr(node, "orelse", None)
    if isinstance(body, list) and len(body) > 1:
        yield from (functools.partial(body.__delitem__, i) for i in range(len(body)))
    if isinstance(orelse, list) and orelse:
        yield orelse.clear


def _forget_operand(node: ast.BoolOp, i: int) -> None:
    """Two operands are needed: where one is left it stands there twice."""
    del node.values[i]
    if len(node.values) == 1:
        node.values.append(copy.deepcopy(node.values[0]))


def _confused(node: ast.AST) -> Iterator[Change]:
    """One of two similar things instead of the other."""
    match node:
        case ast.Name(id=name) if name in _ALIKE:
            yield lambda: setattr(node, "id", _ALIKE[name])
        case ast.Attribute(attr=name) if name in _ALIKE:
            yield lambda: setattr(node, "attr", _ALIKE[name])
        case ast.BinOp(op=ast.Sub() | ast.Div() | ast.FloorDiv() | ast.Mod() | ast.Pow()):
            yield lambda: _swap(node)
        case ast.Call(args=[_, _, *_]):
            yield node.args.reverse
        case ast.Constant(value=bool() as truth):
            yield lambda: setattr(node, "value", not truth)
        case ast.Constant(value=str(text)) if text:
            yield lambda: setattr(node, "value", text.swapcase() if text.swapcase() != text else text[:-1])
        case ast.IfExp():
            yield lambda: setattr(node, "test", ast.Constant(value=True))


def _swap(node: ast.BinOp) -> None:
    node.left, node.right = node.right, node.left


def _off(node: ast.AST) -> Iterator[Change]:
    """A bound that is off by one."""
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            yield lambda: setattr(node, "value", number - 1)
        case ast.Call(func=ast.Name(id="range"), args=[*_, ast.expr()]):
            yield lambda: _shift_end(node, 1)
            yield lambda: _shift_end(node, -1)
        case ast.Slice(upper=None):
            yield lambda: setattr(node, "upper", ast.Constant(value=-1))
        case ast.Slice(lower=None):
            yield lambda: setattr(node, "lower", ast.Constant(value=1))


def _shift_end(call: ast.Call, by: int) -> None:
    at = 0 if len(call.args) == 1 else 1
    call.args[at] = ast.BinOp(left=call.args[at], op=ast.Add(), right=ast.Constant(value=by))
