"""From a model's answer to a Python module: a ladder of rules, tried in order; the one that matched is recorded.

Pure functions of the text: nothing is run and nothing is guessed into the code.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence

from leafwise.agents.given import names_of, uses_of
from leafwise.runtime.contracts import Contract
from leafwise.runtime.syntax import parse

_FENCE = re.compile(r"^[ \t]*(```|~~~)[^\n`]*\n(?P<block>.*?)(?:\n[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"^\[/?[A-Z]{3,}\][ \t]*$", re.MULTILINE)
"""Lines such as `[BEGIN]` and `[DONE]`, between which some prompts ask for code."""
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

    The ladder: the first fenced block that parses and defines the entry point, with the others if it reads what they
    make; all fenced blocks together; the whole answer; a function's body that continues the prompt, or that stands
    behind the rest of the prompt's docstring; the longest beginning of a block, or of the answer from its first code
    line on, that parses.

    Args:
        answer: what the model wrote.
        entry_point: a function that the module has to define; None takes any code.
        prompt: Python that ends with the signature and docstring of the entry point, if the task is that.
    """
    answer = _MARKER.sub("", answer.replace("\r\n", "\n").replace("\r", "\n"))
    blocks = [textwrap.dedent(match["block"]).strip("\n") for match in _FENCE.finditer(answer)]
    for rule, code in _rungs(blocks, answer, entry_point, prompt):
        if _parses(code) and parse(code).body and _defines(code, entry_point) and _is_flat(code):
            return Extraction(code=tidy(code), rule=rule)
    return Extraction(code="", rule="none")


def _rungs(blocks: list[str], answer: str, entry_point: str | None, prompt: str) -> Iterator[tuple[str, str]]:
    for number, block in enumerate(blocks):
        if entry_point and _lacks(block, entry_point, blocks[:number] + blocks[number + 1 :]):
            yield "fences", "\n\n".join(blocks)
        yield "fence", block
    if len(blocks) > 1:
        yield "fences", "\n\n".join(blocks)
    yield "bare", answer
    for text in [*blocks, answer] if prompt else ():
        yield "body", _whole_continuation(prompt, text)
        yield "body", _continued(prompt, text)
    if prompt and not blocks:
        yield "docstring", _continued(prompt, _after_docstring(answer))
    bare = answer.replace("```", "")
    # a line of prose may begin like code ("from the list ..."), so further beginnings are tried
    starts = [match.start() for match in _CODE_LINE.finditer(bare)][:_MOST_STARTS]
    for text in [*blocks, *(bare[start:] for start in starts)]:
        yield "prefix", longest_parsable_prefix(text)


def _whole_continuation(prompt: str, text: str) -> str:
    """The prompt with the text behind it as it is, if that parses: the function, and what it needs of what follows.

    Args:
        prompt: Python that ends with the signature and docstring of a function.
        text: goes on with the function's body.

    Returns:
        The module; empty if it does not parse, or the text is no body.
    """
    code = prompt.rstrip("\n") + "\n" + text.strip("\n") + "\n" if text[:1].isspace() else prompt + text
    if not (_parses(prompt + "\n") and _parses(code)):
        return ""
    tree, at = parse(code), len(parse(prompt).body) - 1
    function = tree.body[at]
    if not isinstance(function, ast.FunctionDef) or not _gives(function):
        return ""
    needed, bound = uses_of(function), {name for node in tree.body[: at + 1] for name in names_of(node)}
    lines, kept = code.split("\n"), [(1, function.end_lineno or 0)]
    for node in tree.body[at + 1 :]:
        if names_of(node) & (needed - bound):
            needed, bound = needed | uses_of(node), bound | names_of(node)
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            kept.append((first, node.end_lineno or first))
    return "\n\n\n".join("\n".join(lines[first - 1 : last]) for first, last in kept) + "\n"


def _lacks(block: str, entry_point: str, others: Sequence[str]) -> bool:
    """Whether a block that has the function reads a name that another block makes."""
    if not _parses(block) or not _defines(block, entry_point):
        return False
    tree = parse(block)
    lacking = uses_of(tree) - {name for node in tree.body for name in names_of(node)}
    made = {name for other in others if _parses(other) for node in parse(other).body for name in names_of(node)}
    return bool(lacking & made)


def _continued(prompt: str, text: str) -> str:
    """The prompt with the text as its function's body, cut where something else follows; empty if it is no body."""
    lines = text.strip("\n").split("\n")
    if len(lines) > 1 and lines[0].strip() and not lines[0][0].isspace() and not lines[0].rstrip().endswith(":"):
        lines[0] = _indent_of(lines[1]) + lines[0]  # the prompt may have ended with it
    first = _indent_of(next((line for line in lines if line.strip()), ""))
    lines = [first + line if line.startswith("#") else line for line in lines]
    inside = list(itertools.takewhile(lambda line: not line.strip() or line.startswith(first), lines))
    own = _indent_of(prompt.rstrip().split("\n")[-1]) or "    "  # of the docstring's last line
    block = textwrap.indent(textwrap.dedent("\n".join(inside)), own)
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
    drop = [node for node in tree.body if _demonstrates(node, tree)]
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


def _demonstrates(node: ast.stmt, tree: ast.Module) -> bool:
    match node:
        case ast.Assert():
            return True
        case ast.If(test=test) if "__name__" in ast.unparse(test):
            return True
        case ast.Expr(value=value):
            return _shows(value, node, tree)
        case ast.Assign(value=ast.Lambda()):
            return False
        case ast.For() | ast.While() | ast.If() | ast.Assign():
            # a loop that fills a table belongs to the program
            result = isinstance(node, ast.Assign) and _is_last(node, tree) and _calls_own(node, tree)
            return result or any(_talks(n) for n in ast.walk(node))
        case _:
            return False


def _shows(value: ast.expr, node: ast.stmt, tree: ast.Module) -> bool:
    """Whether an expression as a statement only shows something."""
    match value:
        case ast.Constant():
            return False
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ("main", "testmod")  # sys.setrecursionlimit(), primes.append() belong to the program
        case ast.Call(func=ast.Name()) if not _talks(value):
            return _is_last(node, tree)  # one that fills a table for what comes after it belongs to the program
        case _:
            return True


def _is_last(node: ast.stmt, tree: ast.Module) -> bool:
    """Whether no function and no class is defined after a statement."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return not any(isinstance(other, kinds) and other.lineno > node.lineno for other in tree.body)


def _calls_own(node: ast.Assign, tree: ast.Module) -> bool:
    """Whether an assignment keeps what a function of the module gives, under names that no function reads."""
    own = {name for other in tree.body if other is not node for name in names_of(other)}
    calls = [n.func for n in ast.walk(node.value) if isinstance(n, ast.Call)]
    if not any(isinstance(called, ast.Name) and called.id in own for called in calls):
        return False
    functions = [other for other in tree.body if isinstance(other, ast.FunctionDef | ast.ClassDef)]
    return not names_of(node) & {n.id for f in functions for n in ast.walk(f) if isinstance(n, ast.Name)}


def _talks(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input")


def _parses(code: str) -> bool:
    try:
        parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _is_flat(code: str) -> bool:
    """Whether code can be written out again: what is nested a thousand levels deep is nobody's answer."""
    try:
        ast.unparse(parse(code))
    except RecursionError:
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
