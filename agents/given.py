"""What a task's code gives beside the function asked for: imports and helper functions. Pure functions of the text.

A task may be Python, as HumanEval's are: imports, helper functions, and a signature with a docstring. Models leave out
what stands there already, and rightly so; the answer is one module all the same, so it gets what it lacks.
"""

from __future__ import annotations

import ast
import collections.abc
import textwrap
import typing

from leafwise.runtime.syntax import parse

TYPE_HOMES: dict[str, str] = {
    **dict.fromkeys(("date", "datetime", "timedelta"), "datetime"),
    "Decimal": "decimal",
    "Fraction": "fractions",
    **dict.fromkeys(collections.abc.__all__, "collections.abc"),
    **dict.fromkeys(typing.__all__, "typing"),
}
"""What the standard library offers for signatures, beside the builtins: a type's name, and the module that has it."""


def parse_code(statement: str) -> ast.Module | None:
    """A statement that is Python, with or without a body for its last function; None if it is prose."""
    text = textwrap.dedent(statement).rstrip()
    for module in (text, f"{text}\n    pass"):
        try:
            tree = parse(module)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body):
            return tree
    return None


def given_code(statement: str, entry_point: str | None) -> str:
    """Imports, constants and helper functions of a statement that is Python; empty for prose, or without a name."""
    tree = parse_code(statement)
    if tree is None or entry_point is None:
        return ""
    kept = [node for node in tree.body if entry_point not in names_of(node) and not isinstance(node, ast.Expr)]
    return ast.unparse(ast.Module(body=kept, type_ignores=[])) if kept else ""


def continuable(statement: str, entry_point: str | None) -> str:
    """The statement, if an answer may go on where it ends: behind the signature and docstring of the entry point."""
    tree = parse_code(statement)
    last = tree.body[-1] if tree else None
    if not isinstance(last, ast.FunctionDef) or last.name != entry_point:
        return ""
    empty = all(isinstance(node, ast.Pass | ast.Import | ast.ImportFrom) or _is_text(node) for node in last.body)
    return textwrap.dedent(statement) if empty else ""


def type_imports(signature: str | None, given: str) -> str:
    """Imports of the types that a signature names and the given code lacks, one per line; see `with_given`.

    The signature is put into the model's mouth, so it has no chance to import them before.
    """
    try:
        tree = parse(f"{signature} pass")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""
    has = {name for node in parse(given).body for name in names_of(node)}
    lacking = sorted((uses_of(tree) & TYPE_HOMES.keys()) - has)
    return "\n".join(f"from {TYPE_HOMES[name]} import {name}" for name in lacking)


def with_given(code: str, given: str) -> str:
    """A module with what it uses of the given code and does not have itself.

    Args:
        code: a module that parses.
        given: see `given_code`.
    """
    tree = parse(code)
    has = {name for node in tree.body for name in names_of(node)}
    needed = uses_of(tree) - has
    added: list[ast.stmt] = []
    for node in reversed(parse(given).body):  # backwards: a helper may need what stands before it
        names = names_of(node)
        if names & needed or "*" in names - has:
            added.insert(0, node)
            needed |= uses_of(node) - has
    if not added:
        return code
    at = _after_head(tree)
    lines = code.split("\n")
    head, body = "\n".join(lines[:at]).strip(), "\n".join(lines[at:]).strip("\n")
    before = ast.unparse(ast.Module(body=added, type_ignores=[]))
    return "\n\n\n".join(part for part in (head, before, body) if part).rstrip() + "\n"


def imported_modules(tree: ast.Module) -> set[str]:
    """Top-level names of the modules that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module)):
                found.add(module.split(".")[0])
            case _:
                pass
    return found


def names_of(node: ast.stmt) -> set[str]:
    """Names that a statement of a module defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return {(alias.asname or alias.name).split(".")[0] for alias in aliases}
        case _:
            return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def uses_of(tree: ast.AST) -> set[str]:
    """Names that are read and nowhere made: a variable of the code's own is not what is given under that name."""
    nodes = [*ast.walk(tree)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    return {node.id for node in names} - own - {node.arg for node in nodes if isinstance(node, ast.arg)}


def _after_head(tree: ast.Module) -> int:
    """The line after which code may be put: behind a docstring and imports from `__future__`."""
    line = 0
    for node in tree.body:
        docstring = _is_text(node) and line == 0
        if not docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        line = node.end_lineno or line
    return line


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
