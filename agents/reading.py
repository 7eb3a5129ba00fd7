"""Reading a task: which function is asked for, and which examples the text gives. Pure functions of the text."""

from __future__ import annotations

import ast
import builtins
import doctest
import keyword
import re
from collections import Counter
from collections.abc import Sequence

from leafwise.agents.contracts import Spec, Task
from leafwise.agents.errors import TaskError
from leafwise.runtime.contracts import Check

_CALL = re.compile(r"\b([A-Za-z_]\w*)\(")
_CONNECTOR = re.compile(
    r"`?\s*(?:==|->|=>|→|=|(?:should |must |will )?(?:return|equal|give|evaluate to|be|is)s?:?)\s*`?\s*"
)
_RAISES = re.compile(r"`?\s*(?:should |must |will )?raises?\s+(?:an?\s+)?`?([A-Za-z_]\w*)`?")
_NAMED = re.compile(
    r"\b(?:function|method|routine)\s+(?:(?:called|named)\s+)?[`'\"]?([A-Za-z_]\w*)[`'\"]?(\([^()]*\))?", re.IGNORECASE
)
# words that follow "function" in prose
_PROSE = frozenset(
    [
        *("that", "which", "to", "for", "in", "of", "with", "called", "named", "taking", "takes", "returning"),
        *("returns", "should", "must", "is", "and", "or", "on", "from", "using", "it", "has", "the", "a", "an", "as"),
        *("by", "given", "body", "name"),
    ]
)
_LONGEST_VALUE = 2000


def read_task(statement: str, examples: Sequence[str] = (), tests: tuple[str, tuple[Check, ...]] = ("", ())) -> Task:
    """Read a task.

    Args:
        statement: the user's words, or Python with a signature and a docstring.
        examples: further examples, each in one of the forms that are found in text (`f(x) == y`).
        tests: setup code and checks of a tests file (see `agents.tests_file`).

    Raises:
        TaskError: the statement is empty, or an example is in none of the known forms.
    """
    if not statement.strip():
        raise TaskError("the task is empty", 'say what to write: leafwise solve "Write a function ..."')
    given: list[Check] = []
    for text in examples:
        found = find_examples(text)
        if not found:
            raise TaskError(f"cannot read the example {text.strip()[:80]!r}", "write it as: f(2, 3) == 5")
        given += found
    setup, checks = tests
    signature = find_signature(statement)
    entry_point = signature[0] if signature else find_name(statement)
    found = _unique([*find_examples(statement), *given, *checks])
    if entry_point is None:
        entry_point = _most_called(found)
    return Task(
        statement=statement.strip(),
        entry_point=entry_point,
        signature=signature[1] if signature else None,
        examples=tuple(_about(found, entry_point)) if entry_point else tuple(found),
        setup=setup,
    )


def spec_of_stub(function: ast.FunctionDef) -> Spec:
    """The spec of a child function from its stub: signature, docstring, and the examples in the docstring."""
    doc = ast.get_docstring(function) or function.name.replace("_", " ").strip()
    examples = _about(find_examples(doc), function.name)
    return Spec(statement=doc, entry_point=function.name, signature=signature_of(function), examples=tuple(examples))


def signature_of(function: ast.FunctionDef) -> str:
    """The function's `def` line, on one line."""
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"def {function.name}({ast.unparse(function.args)}){returns}:"


# --- names and signatures --------------------------------------------------------------------------------------------


def find_signature(text: str) -> tuple[str, str] | None:
    """Name and `def` line of the function asked for.

    The last `def` wins, because the code of a task puts its helper functions first; else "function add(a, b)" is read.
    """
    found = [s for at in re.finditer(r"^[ \t]*(def\s)", text, re.MULTILINE) if (s := _parse_def(text[at.start(1) :]))]
    if found:
        return found[-1]
    for match in _NAMED.finditer(text):
        if match[2] and (signature := _parse_def(f"def {match[1]}{match[2]}:")):
            return signature
    inline = re.search(r"\bdef\s+\w+\(", text)
    return _parse_def(text[inline.start() :]) if inline else None


def _parse_def(text: str) -> tuple[str, str] | None:
    for colon in [m.end() for m in re.finditer(r":", text[:1000])] or [0]:
        try:
            function = ast.parse(text[:colon] + " pass").body[0]
        except (SyntaxError, ValueError, IndexError):
            continue
        if isinstance(function, ast.FunctionDef):
            return function.name, signature_of(function)
    return None


def find_name(text: str) -> str | None:
    """The name of the function asked for, from prose such as "a function called `add`"."""
    for match in _NAMED.finditer(text):
        name = match[1]
        if name.lower() not in _PROSE and not keyword.iskeyword(name):
            return name
    return None


def _most_called(examples: Sequence[Check]) -> str | None:
    names = Counter(name for example in examples for name in called_names(example.code))
    return names.most_common(1)[0][0] if names else None


def called_names(code: str) -> list[str]:
    """Names of plain functions that a piece of code calls, builtins left out, outermost first."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return []
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [name for name in calls if not hasattr(builtins, name)]


# --- examples --------------------------------------------------------------------------------------------------------


def find_examples(text: str) -> list[Check]:
    """Examples in a text: doctest lines, `f(x) == y`, `f(x) -> y`, "f(x) returns y", "f(x) raises ValueError"."""
    doctests, rest = _find_doctests(text)
    found = list(doctests)
    position = 0
    while match := _CALL.search(rest, position):
        position = match.end()
        call = _balanced_call(rest, match.start())
        if call is None or rest[: match.start()].rstrip().endswith("def"):
            continue
        if example := _example_after(call, rest[match.start() + len(call) :]):
            found.append(example)
            position = match.start() + len(call)
    return _unique(found)


def _example_after(call: str, rest: str) -> Check | None:
    if raises := _RAISES.match(rest):
        return Check(code=call, raises=raises[1]) if _is_exception(raises[1]) else None
    connector = _CONNECTOR.match(rest)
    value = _leading_literal(rest[connector.end() :]) if connector else None
    return Check(code=call, expected=value) if value is not None else None


def _is_exception(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _find_doctests(text: str) -> tuple[list[Check], str]:
    """Examples of doctest lines, and the text without them."""
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:  # lines that only look like doctests
        return [], text
    lines, found = text.split("\n"), []
    for example in examples:
        source, want = example.source.strip(), example.want.strip()
        height = len(example.source.splitlines()) + len(example.want.splitlines())
        lines[example.lineno : example.lineno + height] = [""] * height
        if not _is_expression(source):
            continue
        if example.exc_msg:
            found.append(Check(code=source, raises=example.exc_msg.split(":")[0].strip().split(".")[-1]))
        elif _is_literal(want):
            found.append(Check(code=source, expected=want))
    return found, "\n".join(lines)


def _balanced_call(text: str, start: int) -> str | None:
    """The call expression that begins at `start`, up to its closing parenthesis."""
    for end in [m.end() for m in re.finditer(r"\)", text[start : start + _LONGEST_VALUE])]:
        code = text[start : start + end]
        if _is_expression(code):
            return code
    return None


def _leading_literal(text: str) -> str | None:
    """The longest Python literal that the text begins with; a value may go over several lines only inside brackets."""
    text = text[:_LONGEST_VALUE]
    if not text.startswith(("[", "(", "{")):
        text = text.split("\n", 1)[0]
    for end in range(len(text), 0, -1):
        if text[end - 1].isalnum() or text[end - 1] in "\"')]}":
            value = text[:end]
            # "3, 4" is prose, "(3, 4)" is a tuple; "5x" is no number that the text states
            if _is_literal(value) and not text[end : end + 1].isalnum() and _is_one_value(value):
                return value
    return None


def _is_one_value(text: str) -> bool:
    call = ast.parse(f"f({text})", mode="eval").body
    return isinstance(call, ast.Call) and len(call.args) == 1


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _is_expression(code: str) -> bool:
    try:
        ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _about(examples: Sequence[Check], name: str) -> list[Check]:
    """The examples that call the named function; tests of other forms (`test_add()`) are kept."""
    return [e for e in examples if name in called_names(e.code) or (e.expected is None and e.raises is None)]


def _unique(examples: Sequence[Check]) -> list[Check]:
    return list(dict.fromkeys(examples))
