"""Plans and modules as code: reading a generalist's stubs, and putting solved children and their parent together."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Sequence

from leafwise.agents.contracts import Node, NodeState, Plan, Spec
from leafwise.agents.extract import extract_code, longest_parsable_prefix
from leafwise.agents.given import TYPE_HOMES
from leafwise.agents.reading import spec_of_stub
from leafwise.runtime.syntax import parse

_TYPES = frozenset((*dir(builtins), *TYPE_HOMES))
"""Names that a stub's annotations may have: what the standard library offers for signatures."""


def read_plan(answer: str, parent: str | None, taken: Iterable[str], breadth: int) -> Plan:
    """Read the stubs in a generalist's answer.

    Args:
        answer: Python stubs (signature and docstring), fenced or not; bodies are dropped.
        parent: the function being split; its own stub is not a child.
        taken: names that other nodes of the tree have: a child of that name would shadow them.
        breadth: most children.

    Returns:
        The plan; without stubs if the answer is of no use, with the problem in words.
    """
    code = extract_code(answer).code or longest_parsable_prefix(answer)
    if not code:
        return Plan(problem="the answer holds no code that parses")
    return read_stubs(code, parent, taken, breadth)


def read_stubs(code: str, parent: str | None, taken: Iterable[str], breadth: int) -> Plan:
    """Read the stubs in code that parses; for the rest see `read_plan`."""
    names = {parent, *taken}
    stubs: list[Spec] = []
    dropped: list[str] = []
    for node in parse(code).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        if reason := _unusable(node, names):
            dropped.append(f"{node.name}: {reason}")
        elif len(stubs) < breadth:
            names.add(node.name)
            stubs.append(spec_of_stub(node))
        else:
            dropped.append(f"{node.name}: more than {breadth} helpers")
    problem = "; ".join(dropped) if stubs or dropped else "the answer holds no function"
    return Plan(stubs=tuple(stubs), problem=problem)


def _unusable(function: ast.FunctionDef, names: set[str | None]) -> str:
    if function.name in names:
        return "the name is taken"
    arguments = function.args
    if not (arguments.args or arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg):
        return "takes no argument, so it cannot be a pure function of the input"
    if unknown := _unknown_types(function):
        return f"its types are unknown: {', '.join(sorted(unknown))}"
    return ""


def _unknown_types(function: ast.FunctionDef) -> set[str]:
    """Names in annotations that are neither builtins nor of `typing` or `collections.abc`."""
    arguments = function.args
    everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [a.annotation for a in everything if a is not None] + [function.returns]
    names = {n.id for a in annotations if a is not None for n in ast.walk(a) if isinstance(n, ast.Name)}
    return {name for name in names if name not in _TYPES}


def implied_stubs(source: str, taken: Iterable[str], breadth: int) -> tuple[Spec, ...]:
    """The helpers that a candidate takes for granted: functions it calls and nobody defined.

    A model that writes `if is_prime(i)` has already split the task; what is missing are the helpers.

    Args:
        source: the candidate's module.
        taken: names that other nodes of the tree have.
        breadth: most helpers.
    """
    tree = parse(source)
    known = {name for node in ast.walk(tree) for name in _introduces(node)} | set(taken)
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


def _introduces(node: ast.AST) -> Iterator[str]:
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


def assemble(parts: Sequence[str], main: str, children: Collection[str] = ()) -> str:
    """One self-contained module of children and their parent.

    Imports come first, once. A name defined twice is taken from the later part, so the parent's own version wins.
    Functions of the parts that the module never mentions are dropped.

    Args:
        parts: modules of the children, leaves first.
        main: module of the parent.
        children: names of the functions that the parts are there for. Other functions of a part are its own: where two
            parts, or a part and the parent, have different ones of the same name, the part's is renamed.
    """
    if children:
        parts, main = _keep_apart(parts, main, children), _without_copies(main, children)
    imports: dict[str, ast.stmt] = {}
    future: dict[str, ast.stmt] = {}
    body: dict[str, ast.stmt] = {}
    for number, part in enumerate([*parts, main]):
        for position, node in enumerate(parse(part).body):
            text = ast.unparse(node)
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                future[text] = node
            elif isinstance(node, ast.Import | ast.ImportFrom):
                imports[text] = node
            else:
                name = getattr(node, "name", None)
                key = str(name) if name else f"{number}.{position}"
                body.pop(key, None)  # a redefinition moves to the later place
                body[key] = node
    kept = mentioned(body, _keys_of(main, body))
    return (
        "\n\n".join(
            block
            for block in (
                "\n".join([*future, *imports]),
                *(ast.unparse(node) for key, node in body.items() if key in kept),
            )
            if block
        )
        + "\n"
    )


def _without_copies(main: str, children: Collection[str]) -> str:
    """The parent's module without stubs that it repeats: a function of a child that does nothing is none of its own."""
    tree = parse(main)
    kept = [node for node in tree.body if not (getattr(node, "name", None) in children and _does_nothing(node))]
    return ast.unparse(ast.Module(body=kept, type_ignores=[])) if len(kept) < len(tree.body) else main


def _does_nothing(node: ast.stmt) -> bool:
    empty = ast.Pass | ast.Expr
    return isinstance(node, ast.FunctionDef) and all(
        isinstance(part, empty) and not (isinstance(part, ast.Expr) and not isinstance(part.value, ast.Constant))
        for part in node.body
    )


def _keep_apart(parts: Sequence[str], main: str, children: Collection[str]) -> list[str]:
    """The parts, with their own functions renamed where another module means something else by the name."""
    defined = [_functions(module) for module in (*parts, main)]
    apart: list[str] = []
    for number, part in enumerate(parts):
        others = [functions for i, functions in enumerate(defined) if i != number]
        new_names = {
            name: f"{name}_{number + 1}"
            for name, text in defined[number].items()
            if name not in children and any(functions.get(name, text) != text for functions in others)
        }
        apart.append(ast.unparse(_Rename(new_names).visit(parse(part))) if new_names else part)
    return apart


def _functions(module: str) -> dict[str, str]:
    """Top-level functions and classes of a module, with their texts."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name: ast.unparse(node) for node in parse(module).body if isinstance(node, kinds)}


class _Rename(ast.NodeTransformer):
    """Renames functions and classes where they are defined and where they are used."""

    def __init__(self, new_names: dict[str, str]) -> None:
        self._new_names = new_names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(id=self._new_names.get(node.id, node.id), ctx=node.ctx)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.name = self._new_names.get(node.name, node.name)
        return super().generic_visit(node)


def _keys_of(main: str, body: dict[str, ast.stmt]) -> set[str]:
    """Keys of the statements that come from the parent's module."""
    texts = {ast.unparse(node) for node in parse(main).body}
    return {key for key, node in body.items() if ast.unparse(node) in texts}


def mentioned(body: dict[str, ast.stmt], roots: set[str]) -> set[str]:
    """Keys of the statements that the roots need, directly or not, and of those that prepare what they need.

    Args:
        body: statements of a module, by any keys.
        roots: keys of those that are needed in any case.
    """
    kept, todo = set(roots), list(roots)
    while todo:
        node = body[todo.pop()]
        names, bound = _names_in(node), _binds(node)
        needed = {key for key, other in body.items() if _binds(other) & names}
        preparing = {key for key, other in body.items() if _prepares(other) and _names_in(other) & bound}
        found = (needed | preparing) - kept
        kept |= found
        todo += found
    return kept


def _names_in(node: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _prepares(node: ast.stmt) -> bool:
    """Whether a statement does something when the module is loaded, such as filling a table; printing aside."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return False
        case ast.Expr(value=ast.Call()) | ast.For() | ast.While() | ast.With() | ast.If() | ast.AugAssign():
            return True
        case _:
            return False


def _binds(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return {name}  # primes.append(2)
        case _:
            return {name for n in ast.walk(node) for name in _introduces(n)}
