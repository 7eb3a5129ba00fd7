"""Finding examples that take several statements: an object is made, used, and looked at. Pure functions of the text."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterable, Iterator, Sequence

from leafwise.agents.examples import NO_CODE, as_python, called_names, leading_value
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_BEGIN = re.compile(r"(?<![\w.])[A-Za-z_]\w* *= *[A-Za-z_]\w*\(")
_LOOK = re.compile(r"(?P<look>[^=<>!]*?[^=<>!\s]) *(?:==|->|=>|→) *")
_PROMPT = re.compile(r"^[ \t]*>>> ?", re.MULTILINE)
_LONGEST = 600


def find_usage_examples(text: str) -> list[Check]:
    """Examples such as `s = Stack(); s.push(1); s.peek() == 1`, and doctests that assign before they look."""
    found = [check for line in text.splitlines() if (check := _in_line(line))]
    if _PROMPT.search(text):
        found += _in_doctests(text)
    return list(dict.fromkeys(found))


def _in_line(line: str) -> Check | None:
    """The example that begins with the first assignment of a call on a line."""
    begin = _BEGIN.search(line)
    if begin is None or ">>>" in line[: begin.start()]:
        return None
    return _check(_statements(line[begin.start() :][:_LONGEST].split(";")))


def _statements(parts: Sequence[str]) -> Iterator[str]:
    """Statements with looks as asserts, as far as the parts make sense; behind the last look prose may follow."""
    for part in parts:
        look = _LOOK.match(part.strip(" `"))
        value = leading_value(part.strip(" `")[look.end() :]) if look else None
        statement = f"assert {look['look']} == {as_python(value)}" if look and value is not None else part.strip(" `.")
        if not _parses(statement):
            return
        yield statement


def _in_doctests(text: str) -> Iterator[Check]:
    """The examples of a text's doctests, one for each stretch without text between."""
    try:
        pieces = doctest.DocTestParser().parse(text)
    except ValueError:  # a prompt that is none
        return
    stretch: list[str] = []
    for piece in [*pieces, "the end"]:
        if isinstance(piece, doctest.Example):
            stretch.append(_of_doctest(piece))
        elif piece.strip():
            if check := _check(stretch):
                yield check
            stretch = []


def _of_doctest(example: doctest.Example) -> str:
    source, want = example.source.strip(), example.want.strip()
    looked = f"assert ({source}) == {want}"
    return looked if want and _parses(looked) else source


def _check(statements: Iterable[str]) -> Check | None:
    """The statements up to the last assert; None without an assert, or where nothing of the task's is assigned."""
    kept = list(statements)
    while kept and not kept[-1].startswith("assert "):
        kept.pop()
    code = "\n".join(kept)
    if not _parses(code) or not kept or not _assigns_a_call(code):
        return None
    return Check(code=code)


def _assigns_a_call(code: str) -> bool:
    """Whether a variable gets the value of a call of what is to be written, and is looked at later."""
    body = parse(code).body
    given = {
        target.id
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and called_names(ast.unparse(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    looks = [node for statement in body if isinstance(statement, ast.Assert) for node in ast.walk(statement.test)]
    return any(isinstance(node, ast.Name) and node.id in given for node in looks)


def _parses(code: str) -> bool:
    try:
        parse(code)
    except NO_CODE:
        return False
    return True
