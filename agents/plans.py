"""Plans as code: reading a generalist's stubs, and those that a draft takes for granted."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Sequence

from leafwise.agents.contracts import Node, NodeState, Plan, Spec
from leafwise.agents.extract import extract_code, longest_parsable_prefix
from leafwise.agents.given import TYPE_HOMES, names_of, uses_of
from leafwise.agents.reading import spec_of_stub
from leafwise.agents.standard_names import with_standard_imports
from leafwise.runtime.syntax import parse

_TYPES = frozenset((*dir(builtins), *TYPE_HOMES))
"""Names that a stub's annotations may have: what the standard library offers for signatures."""


def read_plan(answer: str, parent: str | None, taken: Iterable[str], breadth: int, given: str = "") -> Plan:
    """Read the stubs in a generalist's answer.

    Args:
        answer: Python stubs (signature and docstring), fenced or not; bodies are dropped.
        parent: the function being split; its own stub is not a child.
        taken: names that other nodes of the tree have: a child of that name would shadow them.
        breadth: most children.
        given: code that every helper gets (see `Spec.given`): annotations may name its classes and what it imports.

    Returns:
        The plan; without stubs if the answer is of no use, with the problem in words.
    """
    code = extract_code(answer).code or longest_parsable_prefix(answer)
    if not code:
        return Plan(problem="the answer holds no code that parses")
    return read_stubs(code, parent, taken, breadth, given)


def read_stubs(code: str, parent: str | None, taken: Iterable[str], breadth: int, given: str = "") -> Plan:
    """Read the stubs in code that parses; for the rest see `read_plan`."""
    names, tops = {parent, *taken}, parse(given).body
    stubs: list[Spec] = []
    dropped: list[str] = []
    for node in parse(code).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        if reason := _unusable(node, names, tops):
            dropped.append(f"{node.name}: {reason}")
        elif len(stubs) < breadth:
            names.add(node.name)
            stubs.append(spec_of_stub(node))
        else:
            dropped.append(f"{node.name}: more than {breadth} helpers")
    problem = "; ".join(dropped) if stubs or dropped else "the answer holds no function"
    return Plan(stubs=tuple(stubs), problem=problem)


def _unusable(function: ast.FunctionDef, names: Collection[str | None], given: Sequence[ast.stmt]) -> str:
    if function.name in names:
        return "the name is taken"
    arguments = function.args
    if not (arguments.args or arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg):
        return "takes no argument, so it cannot be a pure function of the input"
    if unknown := _unknown_types(function, given):
        return f"its types are unknown: {', '.join(sorted(unknown))}"
    if unknown := _unknown_defaults(function, given):
        return f"its defaults are unknown: {', '.join(sorted(unknown))}"
    return ""


def _unknown_defaults(function: ast.FunctionDef, given: Sequence[ast.stmt]) -> set[str]:
    """Names in defaults that nobody defines and nobody imports for an answer: no version of the function would load."""
    values = [value for value in (*function.args.defaults, *function.args.kw_defaults) if value is not None]
    tree = ast.Module(body=[ast.Expr(value=value) for value in values], type_ignores=[])
    imported = parse(with_standard_imports(ast.unparse(tree))).body if values else []
    known = {name for node in (*given, *imported) for name in names_of(node)}
    return uses_of(tree) - known - set(dir(builtins))


def _unknown_types(function: ast.FunctionDef, given: Sequence[ast.stmt]) -> set[str]:
    """Names in annotations that neither the standard library's types nor the given code have; a module is no type."""
    arguments = function.args
    everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [a.annotation for a in everything if a is not None] + [function.returns]
    nodes = [node for a in annotations if a is not None for node in ast.walk(a)]
    owners = [node.value for node in nodes if isinstance(node, ast.Attribute)]
    types = {name for node in given if isinstance(node, ast.ClassDef | ast.ImportFrom) for name in names_of(node)}
    modules = {name for node in given if isinstance(node, ast.Import) for name in names_of(node)}
    known = _TYPES | types
    names = [node for node in nodes if isinstance(node, ast.Name)]
    return {node.id for node in names if node.id not in known and not (node in owners and node.id in modules)}


def implied_stubs(source: str, taken: Iterable[str], breadth: int) -> tuple[Spec, ...]:
    """The helpers that a candidate takes for granted: functions it calls and nobody defined.

    A model that writes `if is_prime(i)` has already split the task; what is missing are the helpers.

    Args:
        source: the candidate's module.
        taken: names that other nodes of the tree have.
        breadth: most helpers.
    """
    tree = parse(source)
    known = {name for node in ast.walk(tree) for name in introduces(node)} | set(taken)
    stubs: dict[str, Spec] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):  # as read, so that the first are kept
        if not (isinstance(node.func, ast.Name) and node.args):
            continue
        name = node.func.id
        if name not in known and not hasattr(builtins, name) and len(stubs) < breadth:
            words = " ".join(name.split("_")).strip()
            parameters = ", ".join(_parameters(node.args))
            stubs.setdefault(name, Spec(statement=words, entry_point=name, signature=f"def {name}({parameters}):"))
    return tuple(stubs.values())


def _parameters(arguments: Sequence[ast.expr]) -> list[str]:
    names = [a.id if isinstance(a, ast.Name) else f"arg{i}" for i, a in enumerate(arguments, 1)]
    return names if len(set(names)) == len(names) else [f"arg{i}" for i in range(1, len(names) + 1)]


def introduces(node: ast.AST) -> Iterator[str]:
    """Names that a node gives a meaning to."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
            yield name  # table[0] = 1
        case ast.alias(name=name, asname=asname):
            yield asname or name.split(".")[0]
        case _:
            return


def taken_names(nodes: Iterable[Node]) -> list[str]:
    """Names of functions that a tree has; those of dropped helpers are free again."""
    there = [node.spec.entry_point for node in nodes if node.state is not NodeState.DROPPED]
    return [name for name in there if name]


def split_node(node: Node, stubs: Sequence[Spec]) -> dict[str, Node]:
    """A node and its helpers, as they enter the tree; empty without any.

    Helpers may use what their parent may: its imports, its given code, its context.
    """
    inherited = {"allow_imports": node.spec.allow_imports, "given": node.spec.given, "context": node.spec.context}
    children = [
        Node(id=f"{node.id}.{i}", spec=stub.model_copy(update=inherited), depth=node.depth + 1)
        for i, stub in enumerate(stubs, 1)
    ]
    if not children:
        return {}
    parent = node.model_copy(update={"children": tuple(child.id for child in children), "state": NodeState.SPLIT})
    return {each.id: each for each in (parent, *children)}


def stub_text(specs: Sequence[Spec]) -> str:
    """Signatures and docstrings, as a parent's coder sees them: never a body."""
    return "\n\n".join(
        f'{s.signature}\n    """{s.statement.strip()}"""\n    ...' for s in specs if s.signature is not None
    )
