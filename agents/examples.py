"""Finding the examples that a text gives, and only those. Pure functions of the text."""

from __future__ import annotations

import ast
import builtins
import doctest
import itertools
import re
from collections.abc import Callable, Collection

from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import literal, parse

_CALL = re.compile(r"(?<![\w.])([^\W\d]\w*)\(")
_CONNECTOR = re.compile(
    r"`?\s*(?:==>|==|-+>|=>|→|➞|➔|=|#\s*(?:=>|->|→|==|returns?:?)?|[,;.]?\s*(?:output|result)\s*:|(?P<words>"
    r"(?:(?:should|must|will|would) )?(?:returns?|equals?|gives?|yields?|produces?|outputs?|evaluates? to"
    r"|(?:be|is)(?: equal to)?):?(?:\s+the\s+(?:string|list|tuple|dict|dictionary|set|number|integer|value|array))?"
    r"))\s*`?\s*",
    re.IGNORECASE,
)
_JSON = ("true", "false")
_OPENING = ("[", "(", "{")
_QUOTES = ('"""', "'''")
_SCALAR = re.compile(
    r"[-+]?(?:0[xX][\da-fA-F]+|0[bB][01]+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)(?!\w)"
    r"|(?:None|[Tt]rue|[Ff]alse)\b|set\(\)"
    r"""|[bBrRuU]{0,2}(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")(?!['"\w])"""
)
# after a value: it is only the beginning of a formula, of "1,000", of "5-digit", or of several values ("3, 1")
_GOES_ON = re.compile(
    r"`?[ \t]*(?:[*/%^+<>@]|!?[ \t]*=|-[ \t]*[\d(])|[.,]\d|\.\.|-\w|[ \t]+or\b"
    r"|\.[a-z_]|\[|[ \t]*&[ \t]*[-~\d'\"(\[{]"
    r"|[ \t]*\|(?![^\n]*\|[ \t]*(?:\n|\Z))[ \t]*[-~\d'\"(\[{]"  # a bar at the line's end as well: a row of a table
    r"|[ \t]+(?:not[ \t]+)?in[ \t]+['\"(\[{]|[ \t]+if\b[^\n]*\belse\b"
    r"|,[ \t]*(?:[-+]?\.?\d|[\[{]|(?:None|True|False)\b)"
)
# after a text: Python joins it with a text that follows
_JOINED = re.compile(r"[ \t]+[bBrRfFuU]{0,2}['\"]")
# after a value in prose: "returns 'a', 'b'"; in code it is the message of an assert
_LISTED = re.compile(r",[ \t]*['\"(\[{]")
# after a number in prose: "is 3 times as large", "returns 2 values"
_COUNTED = re.compile(
    r"[ \t]+(?!(?:and|but|because|since|while|whereas|as|for|if|when|where|so|then|not|with|which|in)\b|\w+\()[^\W\d_]"
)
# before a call: its definition, a formula that it is part of, or a word that makes something else of its value
_BEFORE_NO_CALL = re.compile(r"(?:\b(?:def|not|await)|[\w)\]][ \t]*[+*/%])\s*$")
_RAISES = re.compile(r"`?\s*(?:should |must |will )?raises?\s+(?:an?\s+)?`?([^\W\d]\w*)`?")
_LONGEST_VALUE = 2000
_MOST_BRACKETS = 100
NO_CODE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What parsing a text that is no Python may raise."""


def called_names(code: str, about: str | None = None) -> list[str]:
    """Names of plain functions that a piece of code calls, builtins left out but for `about`, outermost first."""
    try:
        tree = parse(code)
    except NO_CODE:
        return []
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [name for name in calls if name == about or not hasattr(builtins, name)]


def find_examples(text: str, about: str | None = None) -> list[Check]:
    """Examples in a text: doctest lines, `f(x) == y`, `f(x) -> y`, "f(x) returns y", "f(x) raises ValueError".

    Args:
        text: where they stand.
        about: the function asked for, if it is known: it may have a builtin's name.
    """
    found, rest = _find_doctests(text, about)
    position = 0
    while match := _CALL.search(rest, position):
        position = match.end()
        call = balanced_call(rest, match.start())
        line = rest[rest.rfind("\n", 0, match.start()) + 1 : match.start()]
        if call is None or _BEFORE_NO_CALL.search(line) or not stands_alone(call, about=about):
            continue
        if example := _example_after(call, rest[match.start() + len(call) :]):
            found.append(example)
            position = match.start() + len(call)
    return list(dict.fromkeys(found))


def _example_after(call: str, rest: str) -> Check | None:
    if raises := _RAISES.match(rest):
        return Check(code=call, raises=raises[1]) if is_exception(raises[1]) else None
    connector = _CONNECTOR.match(rest)
    if connector is None or call.startswith("print("):
        return None
    rest = rest[connector.end() :]
    value = leading_value(rest)
    if value is None:
        return None
    after = rest[len(value) :]
    counted = not value.startswith(_OPENING) and _COUNTED.match(after)
    if connector["words"] and (counted or _LISTED.match(after)):
        return None
    return Check(code=call, expected=as_python(value))


def leading_value(text: str) -> str | None:
    """The literal that a text begins with, as it stands there; None if there is none, or it is part of a formula."""
    value = _leading_literal(text)
    if value is None or _GOES_ON.match(text[len(value) :]):
        return None
    return None if value[-1] in "'\"" and _JOINED.match(text[len(value) :]) else value


def as_python(value: str) -> str:
    """A value as Python writes it: `true` is JSON's."""
    return value.title() if value in _JSON else value


def is_exception(name: str) -> bool:
    """Whether a name is a builtin exception's."""
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _find_doctests(text: str, about: str | None) -> tuple[list[Check], str]:
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
        if check := _check_of_doctest(example, about):
            found.append(check)
            height += len((check.expected or example.want).splitlines())
        lines[start : start + height] = [""] * height
    return found, "\n".join(lines)


def _check_of_doctest(example: doctest.Example, about: str | None) -> Check | None:
    source, want = example.source.strip(), wanted(example).strip()
    if not _is_expression(source) or not stands_alone(source, about=about):
        return None
    if example.exc_msg:
        return Check(code=source, raises=raised(example))
    match parse(source, mode="eval").body:
        case ast.Call(func=ast.Name(id="print"), args=[ast.expr() as printed], keywords=[]) if want:
            return Check(code=f"str({ast.unparse(printed)})", expected=repr(wanted(example)))
        case ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[value]) if not is_literal(want):
            expected = ast.unparse(value)  # no doctest, but clear
            return Check(code=ast.unparse(call), expected=expected) if is_literal(expected) else None
    literal = literal_wanted(example)
    return Check(code=source, expected=literal) if literal else None


def literal_wanted(example: doctest.Example) -> str:
    """The literal that a doctest line wants to see; empty if it wants none."""
    want = wanted(example).strip()
    if not is_literal(want):
        want = want.split("\n", 1)[0].strip()  # prose may follow without an empty line
    return want if is_literal(want) else ""


def wanted(example: doctest.Example) -> str:
    """What a doctest line wants to see; empty if that is nothing, or cannot be compared: `...` stands for anything."""
    if doctest.ELLIPSIS in example.options and "..." in example.want:
        return ""
    lines = example.want.split("\n")
    # of a docstring's end directly below, too, the doctest parser thinks that it is wanted
    return "\n".join(itertools.takewhile(lambda line: not line.strip().startswith(_QUOTES), lines)).rstrip()


def raised(example: doctest.Example) -> str:
    """The exception that a doctest line wants, without its module; empty if it wants none."""
    return (example.exc_msg or "").split(":")[0].strip().split(".")[-1]


def stands_alone(code: str, known: Collection[str] = (), about: str | None = None) -> bool:
    """Whether code calls what is to be written, and needs no variable that the text only talks about.

    Args:
        code: an expression or statements that parse.
        known: names that are there without being made.
        about: see `find_examples`.
    """
    nodes = [*ast.walk(parse(code))]
    made = {name for node in nodes for name in _made(node)}
    called = set(called_names(code, about)) - made
    if not called or any(isinstance(node, ast.Await) for node in nodes):
        return False
    read = {node.id for node in nodes if isinstance(node, ast.Name)} - made - called - set(known)
    return all(hasattr(builtins, name) for name in read)


def _made(node: ast.AST) -> list[str]:
    """Names that a node gives something to."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [(alias.asname or alias.name).split(".")[0] for alias in aliases]
        case _:
            return []


def balanced_call(text: str, start: int) -> str | None:
    """The call expression that begins at `start`, up to its closing parenthesis."""
    return _up_to("[)]", text[start : start + _LONGEST_VALUE], _is_expression)


def _leading_literal(text: str) -> str | None:
    """The Python literal that the text begins with; only a value in brackets may go over several lines."""
    text = text[:_LONGEST_VALUE]
    if match := _SCALAR.match(text):
        return match[0] if match[0] in _JSON or is_literal(match[0]) else None
    return _up_to("[)\\]}]", text, is_literal) if text.startswith(_OPENING) else None


def _up_to(closing: str, text: str, accept: Callable[[str], bool]) -> str | None:
    """The shortest acceptable beginning of the text that ends with a closing bracket."""
    ends = itertools.islice((m.end() for m in re.finditer(closing, text)), _MOST_BRACKETS)
    return next((text[:end] for end in ends if _may_close(text[:end]) and accept(text[:end])), None)


def _may_close(text: str) -> bool:
    """Whether the brackets may be closed; cheap, so that nested calls are not parsed at every bracket."""
    return "'" in text or '"' in text or sum(map(text.count, "([{")) == sum(map(text.count, ")]}"))


def is_literal(text: str) -> bool:
    """Whether a text is a value that Python can tell without running anything; `...` is none."""
    try:
        literal(text)
    except ValueError:
        return False
    return "..." not in text or not any(_is_dots(node) for node in ast.walk(parse(text.strip(), mode="eval")))


def _is_dots(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _is_expression(code: str) -> bool:
    try:
        parse(code, mode="eval")
    except NO_CODE:
        return False
    return True
