"""Tasks whose answer is a class: how they are told, and their examples. Pure functions of the text.

Such a task has no entry point and no signature: whatever takes those (the beginning of an answer, generated inputs)
is about one function.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

from leafwise.agents.examples import NO_CODE
from leafwise.agents.worded_examples import find_worded_examples
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_CLASS = re.compile(r"^(?P<indent>[ \t]*)class[ \t]+(?P<name>[^\W\d]\w*)[ \t]*(?:\([^()\n]*\))?[ \t]*:")
_ASKED = re.compile(
    r"\b(?:write|implement|create|define|complete|design|build|make|develop)\s+(?:me\s+)?(?:an?|the|this)\s+"
    # what may follow, since there are class averages and class methods
    r"(?:[\w-]+\s+){0,2}?class(?=[ \t]*(?:[.,:;!?(\n]|\Z)|\s+[`'\"]|\s+(?-i:[A-Z])\w"
    r"|\s+(?:called|named|that|which|for|to|with|whose|in|using|representing|implementing)\b)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\bclass\s+(?:(?:called|named)\s+[`'\"]?(?P<sure>[^\W\d]\w*)|[`'\"](?P<quoted>[^\W\d]\w*)|(?P<plain>[A-Z]\w*))"
)
_OPENING = ("    pass", "        pass")  # what a class or a method without a body lacks


def class_asked_at(text: str) -> int | None:
    """Where the words ask for a class; None if they do not."""
    asked = _ASKED.search(text)
    return asked.start() if asked else None


def has_class_code(text: str) -> bool:
    """Whether the text has a class's code, with or without its methods' bodies."""
    return any(_blocks(text))


def class_name(text: str) -> str | None:
    """The name of the class asked for: the last one of the code, or else the first that the words name."""
    blocks = [*_blocks(text)]
    if blocks:
        return blocks[-1][0]
    named = _NAMED.search(text)
    return named["sure"] or named["quoted"] or named["plain"] if named else None


def without_classes(text: str) -> str:
    """The text without its classes' code: their methods are no functions that a task asks for."""
    lines = text.split("\n")
    for _, start, end in _blocks(text):
        lines[start:end] = [""] * (end - start)
    return "\n".join(lines)


def find_method_examples(text: str) -> list[Check]:
    """Examples that name the arguments of a class's only method: `Input: nums = [2, 7], target = 9`, `Output: [0, 1]`.

    They need an object, so the class must be made without arguments.
    """
    for name, start, end in reversed([*_blocks(text)]):
        methods = _methods("\n".join(text.split("\n")[start:end]))
        public = [method for method in methods if not method.name.startswith("_")]
        if len(public) != 1 or any(method.name == "__init__" for method in methods):
            return []
        (method,) = public
        method.args.args = method.args.args[1:]  # self
        signature = f"def {method.name}({ast.unparse(method.args)}):"
        found = find_worded_examples(text, signature)
        return [check.model_copy(update={"code": f"{name}().{check.code}"}) for check in found]
    return []


def _blocks(text: str) -> Iterator[tuple[str, int, int]]:
    """The outermost classes of the code in a text: name, first line, and the line behind the last."""
    lines = text.split("\n")
    end = 0
    for at, line in enumerate(lines):
        begin = _CLASS.match(line)
        if begin is None or at < end:
            continue
        indent = len(begin["indent"].expandtabs())
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
            end += 1
        if any(line.strip() for line in lines[at + 1 : end]):
            yield begin["name"], at, end


def _indent(line: str) -> int:
    return len(line.expandtabs()) - len(line.expandtabs().lstrip())


def _methods(block: str) -> list[ast.FunctionDef]:
    """The methods of a class's code, whose last one may lack its body."""
    text = textwrap.dedent(block).rstrip()
    for code in (text, *(f"{text}\n{opening}" for opening in _OPENING)):
        try:
            (statement,) = parse(code).body
        except NO_CODE:
            continue
        return [node for node in getattr(statement, "body", ()) if isinstance(node, ast.FunctionDef)]
    return []
