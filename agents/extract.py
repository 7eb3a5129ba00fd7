"""From a model's answer to a Python module: a ladder of rules, tried in order; the one that matched is recorded.

Pure functions of the text: nothing is run and nothing is guessed into the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from leafwise.runtime.contracts import Contract

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


class Extraction(Contract):
    """Code found in an answer."""

    code: str
    """A module that parses; empty if there is none."""
    rule: str
    """The rule that matched: `fence`, `fences`, `bare`, `prefix`, or `none`."""


def extract_code(answer: str, entry_point: str | None = None) -> Extraction:
    """Find the module in an answer.

    The ladder: the first fenced block that parses and defines the entry point; all fenced blocks together; the whole
    answer; the longest beginning of a block, or of the answer from its first code line on, that parses.

    Args:
        answer: what the model wrote.
        entry_point: a function that the module has to define; None takes any code.
    """
    blocks = [block.strip("\n") for block in _FENCE.findall(answer)]
    for rule, code in _rungs(blocks, answer, entry_point):
        if code.strip() and _parses(code) and _defines(code, entry_point):
            return Extraction(code=tidy(code), rule=rule)
    return Extraction(code="", rule="none")


def _rungs(blocks: list[str], answer: str, entry_point: str | None) -> Iterator[tuple[str, str]]:
    for block in blocks:
        yield "fence", block
    if len(blocks) > 1:
        yield "fences", "\n\n".join(blocks)
    yield "bare", answer
    for text in [*blocks, _from_first_code_line(answer)]:
        yield "prefix", longest_parsable_prefix(text)


def _from_first_code_line(answer: str) -> str:
    start = re.search(r"^(?:def|class|import|from|@)\b.*", answer.replace("```", ""), re.MULTILINE)
    return answer.replace("```", "")[start.start() :] if start else ""


def longest_parsable_prefix(text: str) -> str:
    """The longest run of whole lines from the beginning that parses; empty if none does."""
    lines = text.split("\n")
    for end in range(len(lines), 0, -1):
        code = "\n".join(lines[:end])
        if code.strip() and _parses(code):
            return code
    return ""


def tidy(code: str) -> str:
    """The module without what only a demonstration needs.

    Top-level calls, asserts and main guards go: they print, they fail for reasons of their own, and an answer is a
    module. Code without any definition is left as it is: there the statements are the program.
    """
    tree = ast.parse(code)
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body):
        return code.strip() + "\n"
    drop = [node for node in tree.body if _demonstrates(node)]
    lines = code.split("\n")
    for node in drop:
        shared = [
            n
            for n in tree.body
            if n not in drop and n.lineno <= (node.end_lineno or 0) and node.lineno <= (n.end_lineno or 0)
        ]
        if not shared:  # two statements on one line: leave both
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip() + "\n"


def _demonstrates(node: ast.stmt) -> bool:
    match node:
        case ast.Assert():
            return True
        case ast.If():
            return "__name__" in ast.unparse(node.test)
        case ast.Expr(value=ast.Call() | ast.Name() | ast.Compare()):
            return True
        case ast.For() | ast.While():
            return True
        case _:
            return False


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _defines(code: str, entry_point: str | None) -> bool:
    return entry_point is None or entry_point in top_level_names(code)


def top_level_names(code: str) -> list[str]:
    """Names of functions and classes, and of variables, that a module defines at top level."""
    names: list[str] = []
    for node in ast.parse(code).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [t.id for t in targets if isinstance(t, ast.Name)]
            case _:
                pass
    return names
