"""The checks in a tester's text, which may be cut, repeat itself and hold much else. Pure functions of the text."""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from leafwise.agents.contracts import Spec
from leafwise.agents.examples import NO_CODE, balanced_call
from leafwise.agents.inputs import literal_arguments
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_MOST_LINES = 8
_MOST_CHECKS = 64
_LONGEST = 2_000
_LARGEST_EXPONENT = 16
_ARITHMETIC = ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop | ast.Constant | ast.Load
_DISPLAYS = ast.List | ast.Tuple | ast.Set | ast.Dict


def checks_in(text: str, spec: Spec) -> tuple[Check, ...]:
    """The usable checks of one text, in its order, each once.

    Usable is an assert, over one or several lines, or a bare comparison on a line of its own, that calls the function
    with literal arguments and compares with a value that needs no name. What the visible examples say already, or deny,
    is dropped: about those calls they are believed.

    Args:
        text: what the tester wrote, with the beginning that was put into its mouth.
        spec: the function.
    """
    if spec.entry_point is None:
        return ()
    known = {plain_call(example.code) for example in spec.examples}
    found = (check for piece in _pieces(text, spec.entry_point) if (check := _read(piece, spec.entry_point)))
    new = dict.fromkeys(check for check in found if plain_call(check.code) not in known)
    return tuple(itertools.islice(new, _MOST_CHECKS))


def most_proposed(texts: Iterable[Sequence[Check]], count: int) -> tuple[Check, ...]:
    """The checks that most texts propose, as many as are wanted; what was said earlier wins among equals.

    Args:
        texts: the checks of each text.
        count: most checks.
    """
    votes = Counter(check for checks in texts for check in dict.fromkeys(checks))
    return tuple(check for check, _ in votes.most_common(count))


def calls_in(text: str, spec: Spec) -> tuple[str, ...]:
    """The calls of the function with literal arguments, wherever they stand, each once: inputs that a text proposes."""
    if spec.entry_point is None:
        return ()
    begins = (match.start() for match in re.finditer(rf"(?<![\w.]){re.escape(spec.entry_point)}\(", text))
    calls = (balanced_call(text, start) for start in itertools.islice(begins, 2 * _MOST_CHECKS))
    plain = (plain_call(call) for call in calls if call and literal_arguments(call, spec.entry_point))
    return tuple(dict.fromkeys(plain))


def _pieces(text: str, name: str) -> Iterator[str]:
    """Stretches that may begin with an assert's condition."""
    begins = re.compile(rf"\bassert\b|^[ \t]*(?={re.escape(name)}\()", re.MULTILINE)
    return (piece.strip() for piece in begins.split(text) if name in piece)


def _read(piece: str, name: str) -> Check | None:
    """The check that a piece begins with: the fewest lines that parse."""
    lines = piece.split("\n")
    for end in range(1, min(len(lines), _MOST_LINES) + 1):
        condition = "\n".join(lines[:end])
        try:
            statement = parse(f"assert {condition}").body[0]
        except NO_CODE:
            continue
        return _usable(statement, name) if isinstance(statement, ast.Assert) else None
    return None


def _usable(statement: ast.Assert, name: str) -> Check | None:
    match statement.test:
        case ast.Compare(left=call, ops=[ast.Eq() | ast.Is()], comparators=[value]) if _calls(call, name):
            pass
        case ast.Compare(left=value, ops=[ast.Eq()], comparators=[call]) if _calls(call, name):
            pass
        case ast.UnaryOp(op=ast.Not(), operand=call) if _calls(call, name):
            value = ast.Constant(value=False)
        case _:
            return None
    try:
        check = Check(code=ast.unparse(call), expected=ast.unparse(value))
    except RecursionError:
        return None
    if not _is_value(value) or len(check.code) + len(check.expected or "") > _LONGEST:
        return None
    return check if literal_arguments(check.code, name) else None


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_value(tree: ast.expr) -> bool:
    """Whether an expression is a literal, or arithmetic of literals that takes no time."""
    return all(isinstance(n, _ARITHMETIC | _DISPLAYS) and not _may_grow(n) for n in ast.walk(tree))


def _may_grow(node: ast.AST) -> bool:
    """Powers, and repetitions of what has a length, may be huge."""
    match node:
        case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=int(exponent))):
            return exponent > _LARGEST_EXPONENT
        case ast.BinOp(op=ast.Pow() | ast.LShift()):
            return True
        case ast.BinOp(op=ast.Mult(), left=left, right=right):
            sides = [side.value for side in (left, right) if isinstance(side, ast.Constant)]
            return any(isinstance(value, int) and value > _LONGEST for value in sides)
        case _:
            return False


def plain_call(code: str) -> str:
    """A call without what two writers would write differently, such as quotes and blanks."""
    try:
        return ast.unparse(parse(code, mode="eval"))
    except NO_CODE:
        return code
