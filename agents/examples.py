"""Finding the examples that a text gives, and only those. Pure functions of the text."""

from __future__ import annotations

import ast
import builtins
import doctest
import itertools
import re
from collections.abc import Callable

from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import literal, parse

_CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")
_CONNECTOR = re.compile(
    r"`?\s*(?:==>|==|-+>|=>|→|➞|➔|=|#\s*(?:=>|->|→|==|returns?:?)?|[,;.]?\s*(?:output|result)\s*:|(?P<words>"
    r"(?:(?:should|must|will|would) )?(?:returns?|equals?|gives?|yields?|produces?|outputs?|evaluates? to"
    r"|(?:be|is)(?: equal to)?):?(?:\s+the\s+(?:string|list|tuple|dict|dictionary|set|number|integer|value|array))?"
    r"))\s*`?\s*",
    re.IGNORECASE,
)
_JSON = ("true", "false")
_OPENING = ("[", "(", "{")
_SCALAR = re.compile(
    r"[-+]?(?:0[xX][\da-fA-F]+|0[bB][01]+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)(?!\w)"
    r"|(?:None|[Tt]rue|[Ff]alse)\b|set\(\)"
    r"""|[bBrRuU]{0,2}(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")(?!['"\w])"""
)
# after a value: it is only the beginning of a formula, of "1,000" or of "5-digit"
_GOES_ON = re.compile(r"`?[ \t]*(?:[*/%^+<>]|!?[ \t]*=|-[ \t]*[\d(])|[.,]\d|\.\.|-\w|[ \t]+or\b")
# after a number in prose: "is 3 times as large", "returns 2 values"
_COUNTED = re.compile(
    r"[ \t]+(?!(?:and|but|because|since|while|whereas|as|for|if|when|where|so|then|not|with|which|in)\b|\w+\()[A-Za-z]"
)
# before a call: its definition, or a formula that it is part of
_BEFORE_NO_CALL = re.compile(r"(?:\bdef|\w[ \t]*[+*/%])\s*$")
_RAISES = re.compile(r"`?\s*(?:should |must |will )?raises?\s+(?:an?\s+)?`?([A-Za-z_]\w*)`?")
_LONGEST_VALUE = 2000
_MOST_BRACKETS = 100
NO_CODE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What parsing a text that is no Python may raise."""


def called_names(code: str) -> list[str]:
    """Names of plain functions that a piece of code calls, builtins left out, outermost first."""
    try:
        tree = parse(code)
    except NO_CODE:
        return []
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [name for name in calls if not hasattr(builtins, name)]


def find_examples(text: str) -> list[Check]:
    """Examples in a text: doctest lines, `f(x) == y`, `f(x) -> y`, "f(x) returns y", "f(x) raises ValueError"."""
    found, rest = _find_doctests(text)
    position = 0
    while match := _CALL.search(rest, position):
        position = match.end()
        call = balanced_call(rest, match.start())
        line = rest[rest.rfind("\n", 0, match.start()) + 1 : match.start()]
        if call is None or _BEFORE_NO_CALL.search(line) or not _stands_alone(call):
            continue
        if example := _example_after(call, rest[match.start() + len(call) :]):
            found.append(example)
            position = match.start() + len(call)
    return list(dict.fromkeys(found))


def _example_after(call: str, rest: str) -> Check | None:
    if raises := _RAISES.match(rest):
        return Check(code=call, raises=raises[1]) if _is_exception(raises[1]) else None
    connector = _CONNECTOR.match(rest)
    if connector is None or call.startswith("print("):
        return None
    rest = rest[connector.end() :]
    value = leading_value(rest)
    if value is None:
        return None
    counted = connector["words"] and not value.startswith(_OPENING)
    if counted and _COUNTED.match(rest[len(value) :]):
        return None
    return Check(code=call, expected=as_python(value))


def leading_value(text: str) -> str | None:
    """The literal that a text begins with, as it stands there; None if there is none, or it is part of a formula."""
    value = _leading_literal(text)
    return None if value is None or _GOES_ON.match(text[len(value) :]) else value


def as_python(value: str) -> str:
    """A value as Python writes it: `true` is JSON's."""
    return value.title() if value in _JSON else value


def _is_exception(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _find_doctests(text: str) -> tuple[list[Check], str]:
    """Examples of doctest lines, and the text without them."""
    lines, found = text.split("\n"), []
    prompts = [i for i, line in enumerate(lines) if line.lstrip().startswith(">>>")]
    for start, end in itertools.pairwise([*prompts, len(lines)]):
        # each by itself: one line that only looks like a doctest must not hide the others
        block = "\n".join([re.sub(r">>>(?=\S)", ">>> ", lines[start], count=1), *lines[start + 1 : end]])
        try:
            example = doctest.DocTestParser().get_examples(block)[0]
        except (ValueError, IndexError):
            continue
        height = len(example.source.splitlines())
        if check := _check_of_doctest(example):
            found.append(check)
            height += len((check.expected or example.want).splitlines())
        lines[start : start + height] = [""] * height
    return found, "\n".join(lines)


def _check_of_doctest(example: doctest.Example) -> Check | None:
    source, want = example.source.strip(), example.want.strip()
    if not _is_expression(source) or not _stands_alone(source):
        return None
    if example.exc_msg:
        return Check(code=source, raises=example.exc_msg.split(":")[0].strip().split(".")[-1])
    match parse(source, mode="eval").body:
        case ast.Call(func=ast.Name(id="print"), args=[ast.expr() as printed], keywords=[]) if want:
            return Check(code=f"str({ast.unparse(printed)})", expected=repr(want))
        case ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[value]) if not _is_literal(want):
            expected = ast.unparse(value)  # no doctest, but clear
            return Check(code=ast.unparse(call), expected=expected) if _is_literal(expected) else None
    if not _is_literal(want):
        want = want.split("\n", 1)[0].strip()  # prose may follow without an empty line
    return Check(code=source, expected=want) if _is_literal(want) else None


def _stands_alone(code: str) -> bool:
    """Whether an expression calls a function to be written and needs no variable that the text only talks about."""
    names = [node for node in ast.walk(parse(code, mode="eval")) if isinstance(node, ast.Name | ast.arg)]
    called = set(called_names(code))
    bound = called | {n.arg if isinstance(n, ast.arg) else n.id for n in names if not _is_read(n)}
    return bool(called) and all(n.id in bound or hasattr(builtins, n.id) for n in names if isinstance(n, ast.Name))


def _is_read(node: ast.Name | ast.arg) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def balanced_call(text: str, start: int) -> str | None:
    """The call expression that begins at `start`, up to its closing parenthesis."""
    return _up_to("[)]", text[start : start + _LONGEST_VALUE], _is_expression)


def _leading_literal(text: str) -> str | None:
    """The Python literal that the text begins with; only a value in brackets may go over several lines."""
    text = text[:_LONGEST_VALUE]
    if match := _SCALAR.match(text):
        return match[0] if match[0] in _JSON or _is_literal(match[0]) else None
    return _up_to("[)\\]}]", text, _is_literal) if text.startswith(_OPENING) else None


def _up_to(closing: str, text: str, accept: Callable[[str], bool]) -> str | None:
    """The shortest acceptable beginning of the text that ends with a closing bracket."""
    ends = itertools.islice((m.end() for m in re.finditer(closing, text)), _MOST_BRACKETS)
    return next((text[:end] for end in ends if _may_close(text[:end]) and accept(text[:end])), None)


def _may_close(text: str) -> bool:
    """Whether the brackets may be closed; cheap, so that nested calls are not parsed at every bracket."""
    return "'" in text or '"' in text or sum(map(text.count, "([{")) == sum(map(text.count, ")]}"))


def _is_literal(text: str) -> bool:
    try:
        literal(text)
    except ValueError:
        return False
    return True


def _is_expression(code: str) -> bool:
    try:
        parse(code, mode="eval")
    except NO_CODE:
        return False
    return True
