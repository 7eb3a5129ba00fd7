"""Finding examples that take several statements: an object is made, used, and looked at. Pure functions of the text."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterable, Iterator, Sequence

from leafwise.agents.examples import (
    NO_CODE,
    as_python,
    is_exception,
    leading_value,
    literal_wanted,
    raised,
    stands_alone,
    wanted,
)
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_BEGIN = re.compile(r"(?<![\w.])[^\W\d]\w* *= *(?:[^\W\d]\w*\(|[-'\"\[({\d])")
_LOOK = re.compile(r"(?P<look>[^=<>!]*?[^=<>!\s]) *(?:==|->|=>|→) *")
_PROMPT = re.compile(r"^[ \t]*>>> ?", re.MULTILINE)
_OPTION = re.compile(r"[ \t]*#[ \t]*doctest:.*")
_LONGEST = 600


def find_usage_examples(text: str) -> list[Check]:
    """Examples such as `s = Stack(); s.push(1); s.peek() == 1`, and doctests that assign before they look."""
    found = [check for line in text.splitlines() if (check := _in_line(line))]
    if _PROMPT.search(text):
        found += _in_doctests(text)
    return list(dict.fromkeys(found))


def _in_line(line: str) -> Check | None:
    """The example that begins with the first assignment of a call or a value on a line."""
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
    stretch: list[doctest.Example] = []
    for piece in [*pieces, "the end"]:
        if isinstance(piece, doctest.Example):
            stretch.append(piece)
        elif piece.strip():
            if check := _check(_steps(stretch)):
                yield check
            stretch = []


def _steps(stretch: Sequence[doctest.Example]) -> Iterator[str]:
    """The lines of a stretch as statements, up to one that cannot be done: the state behind it would be another."""
    for example in stretch:
        source = _OPTION.sub("", example.source).strip()
        if doctest.SKIP in example.options or not _parses(source):
            return
        if example.exc_msg is None:
            yield _looked(source, example)
        elif is_exception(raised(example)):
            step = source.replace("\n", "\n    ")
            yield f"try:\n    {step}\nexcept {raised(example)}:\n    pass\nelse:\n    assert False"
        else:
            return


def _looked(source: str, example: doctest.Example) -> str:
    """A step as an assert of what is to be seen, where that can be told; else the step alone."""
    want = wanted(example)
    match parse(source).body:
        case [ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=args, keywords=[]))]:
            plain = len(args) == 1 and not isinstance(args[0], ast.Starred)
            return f"assert str({ast.unparse(args[0])}) == {want!r}" if plain and want else source
        case [ast.Expr()] if value := literal_wanted(example):
            return f"assert ({source}) == {value}"
        case [ast.Expr()] if _is_call(want.strip()):  # how an object shows itself: it may well equal no other
            return f"assert repr({source}) == {want.strip()!r}"
        case _:
            return source


def _check(statements: Iterable[str]) -> Check | None:
    """The statements up to the last look; None without one, or where no variable is looked at that they made."""
    kept = list(statements)
    while kept and not kept[-1].startswith(("assert ", "try:")):
        kept.pop()
    code = "\n".join(kept)
    if not kept or not _parses(code) or not stands_alone(code) or not _looks_at_its_own(code):
        return None
    return Check(code=code)


def _looks_at_its_own(code: str) -> bool:
    """Whether what is looked at depends on a variable that the code made: else it is an example without the rest."""
    body = parse(code).body
    names = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    looks = [node for statement in body if isinstance(statement, ast.Assert | ast.Try) for node in ast.walk(statement)]
    return any(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in made for node in looks)


def _is_call(text: str) -> bool:
    try:
        return isinstance(parse(text, mode="eval").body, ast.Call)
    except NO_CODE:
        return False


def _parses(code: str) -> bool:
    try:
        parse(code)
    except NO_CODE:
        return False
    return True
