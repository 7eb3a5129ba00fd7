"""From a model's answer to a Python module: a ladder of rules, tried in order; the one that matched is recorded.

Pure functions of the text: nothing is run and nothing is guessed into the code.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from collections.abc import Iterator

from leafwise.runtime.contracts import Contract
from leafwise.runtime.syntax import parse

_FENCE = re.compile(r"^[ \t]*(```|~~~)[^\n`]*\n(?P<block>.*?)(?:\n[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_CODE_LINE = re.compile(r"^(?:(?:async +)?(?:def|class|import|from)\b|@)", re.MULTILINE)
_MOST_STARTS = 8


class Extraction(Contract):
    """Code found in an answer."""

    code: str
    """A module that parses; empty if there is none."""
    rule: str
    """The rule that matched: `fence`, `fences`, `bare`, `body`, `docstring`, `prefix`, or `none`."""


def extract_code(answer: str, entry_point: str | None = None, prompt: str = "") -> Extraction:
    """Find the module in an answer.

    The ladder: the first fenced block that parses and defines the entry point; all fenced blocks together; the whole
    answer; a function's body that continues the prompt, or that stands behind the rest of the prompt's docstring; the
    longest beginning of a block, or of the answer from its first code line on, that parses.

    Args:
        answer: what the model wrote.
        entry_point: a function that the module has to define; None takes any code.
        prompt: Python that ends with the signature and docstring of the entry point, if the task is that.
    """
    answer = answer.replace("\r\n", "\n").replace("\r", "\n")
    blocks = [textwrap.dedent(match["block"]).strip("\n") for match in _FENCE.finditer(answer)]
    for rule, code in _rungs(blocks, answer, prompt):
        if _parses(code) and parse(code).body and _defines(code, entry_point):
            return Extraction(code=tidy(code), rule=rule)
    return Extraction(code="", rule="none")


def _rungs(blocks: list[str], answer: str, prompt: str) -> Iterator[tuple[str, str]]:
    for block in blocks:
        yield "fence", block
    if len(blocks) > 1:
        yield "fences", "\n\n".join(blocks)
    yield "bare", answer
    for text in [*blocks, answer] if prompt else ():
        yield "body", _continued(prompt, text)
    if prompt and not blocks:
        yield "docstring", _continued(prompt, _after_docstring(answer))
    bare = answer.replace("```", "")
    # a line of prose may begin like code ("from the list ..."), so further beginnings are tried
    starts = [match.start() for match in _CODE_LINE.finditer(bare)][:_MOST_STARTS]
    for text in [*blocks, *(bare[start:] for start in starts)]:
        yield "prefix", longest_parsable_prefix(text)


def _continued(prompt: str, text: str) -> str:
    """The prompt with the text as its function's body, cut where something else follows; empty if it is no body."""
    lines = text.strip("\n").split("\n")
    if len(lines) > 1 and lines[0].strip() and not lines[0][0].isspace() and not lines[0].rstrip().endswith(":"):
        lines[0] = _indent_of(lines[1]) + lines[0]  # the prompt may have ended with it
    first = _indent_of(next((line for line in lines if line.strip()), ""))
    inside = list(itertools.takewhile(lambda line: not line.strip() or line.startswith(first), lines))
    block = textwrap.indent(textwrap.dedent("\n".join(inside)), "    ")
    body = longest_parsable_prefix(f"def body():\n{block}")
    if not any(_gives(node) for node in parse(body).body):
        return ""
    return prompt.rstrip() + "\n" + body.partition("\n")[2]


def _after_docstring(text: str) -> str:
    """What follows the end of a docstring: the answer may have gone on with the prompt's, or repeated it."""
    return re.split(r'"""|\'\'\'', text, maxsplit=1)[-1]


def _indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _gives(node: ast.AST) -> bool:
    """Whether a function's body returns or yields, in itself and not in a function inside of it."""
    inner = (n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda))
    return isinstance(node, ast.Return | ast.Yield) or any(map(_gives, inner))


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
    tree = parse(code)
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body):
        return code.strip() + "\n"
    drop = [node for node in tree.body if _demonstrates(node)]
    lines: list[str | None] = [*code.split("\n")]
    for node in drop:
        end = node.end_lineno or node.lineno
        others = (n for n in tree.body if n not in drop)
        if not any(n.lineno <= end and node.lineno <= (n.end_lineno or 0) for n in others):  # else both on one line
            lines[node.lineno - 1 : end] = [None] * (end - node.lineno + 1)
    kept = [line for line in lines if line is not None]
    while drop and kept and (not kept[-1].strip() or kept[-1].startswith("#")):
        kept.pop()  # the demonstration's heading, such as "# Example usage"
    tidied = "\n".join(kept).strip() + "\n"
    return tidied if _parses(tidied) else code


def _demonstrates(node: ast.stmt) -> bool:
    match node:
        case ast.Assert():
            return True
        case ast.If(test=test) if "__name__" in ast.unparse(test):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))):
            return name in ("main", "testmod")  # sys.setrecursionlimit(), primes.append() belong to the program
        case ast.Expr(value=ast.Call() | ast.Name() | ast.Compare()):
            return True
        case ast.For() | ast.While() | ast.If() | ast.Assign():
            return any(_talks(n) for n in ast.walk(node))  # a loop that fills a table belongs to the program
        case _:
            return False


def _talks(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input")


def _parses(code: str) -> bool:
    try:
        parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _defines(code: str, entry_point: str | None) -> bool:
    return entry_point is None or entry_point in top_level_names(code)


def top_level_names(code: str) -> list[str]:
    """Names of functions and classes, and of variables, that a module defines at top level."""
    names: list[str] = []
    for node in parse(code).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [t.id for t in targets if isinstance(t, ast.Name)]
            case _:
                pass
    return names
