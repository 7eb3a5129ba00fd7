"""Modules as code: solved children and their parent become one module, without what it does not need."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection, Mapping, Sequence

from leafwise.agents.given import names_of
from leafwise.agents.plans import introduces
from leafwise.runtime.syntax import parse

_IMPORTED = "import: "
"""Begins the meaning of a name that is imported: it is not renamed."""


def assemble(parts: Sequence[str], main: str, children: Sequence[str] = ()) -> str:
    """One self-contained module of children and their parent.

    Imports come first, once. A name defined twice is taken from the later part, so the parent's own version wins.
    Functions of the parts that the module never mentions are dropped.

    Args:
        parts: modules of the children, leaves first.
        main: module of the parent.
        children: names of the functions that the parts are there for, one per part. Other functions of a part are its
            own: where two parts, or a part and the parent, have different ones of the same name, the part's is renamed.
    """
    if children:
        parts, main = _keep_apart(parts, main, children), without_copies(main, children)
    imports: dict[str, ast.stmt] = {}
    future: dict[str, ast.stmt] = {}
    body: dict[str, ast.stmt] = {}
    registered: set[str] = set()
    for number, part in enumerate([*parts, main]):
        nodes = parse(part).body
        own = registering(nodes)
        for position, node in enumerate(nodes):
            text = ast.unparse(node)
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                future[text] = node
            elif isinstance(node, ast.Import | ast.ImportFrom):
                imports[text] = node
            else:
                name = None if node in own else getattr(node, "name", None)
                key = str(name) if name else f"{number}.{position}"
                registered |= {key} if node in own else set()
                body.pop(key, None)  # a redefinition moves to the later place
                body[key] = node
    kept = mentioned(body, _keys_of(main, body) | _settings(body, imports) | registered)
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


def without_copies(main: str, children: Collection[str]) -> str:
    """The parent's module without stubs that it repeats: a function of a child that does nothing is none of its own."""
    tree = parse(main)
    kept = [node for node in tree.body if not (getattr(node, "name", None) in children and _does_nothing(node))]
    return ast.unparse(ast.Module(body=kept, type_ignores=[])) if len(kept) < len(tree.body) else main


def _does_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and all(
        isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in node.body
    )


def _settings(body: Mapping[str, ast.stmt], imports: Mapping[str, ast.stmt]) -> set[str]:
    """Keys of calls of imported modules, such as `sys.setrecursionlimit(...)`: nothing mentions what they do."""
    modules = {name for node in imports.values() for name in names_of(node)}
    found: set[str] = set()
    for key, node in body.items():
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))) if name in modules:
                found.add(key)
    return found


def _keep_apart(parts: Sequence[str], main: str, children: Sequence[str]) -> list[str]:
    """The parts, with their own names renamed where another module means something else by them."""
    means = [_meanings(module, str(number)) for number, module in enumerate((*parts, main))]
    taken = set(children).union(*(_identifiers(module) for module in (*parts, main)))
    apart: list[str] = []
    for number, (part, child) in enumerate(zip(parts, children, strict=True)):
        others = [meanings for i, meanings in enumerate(means) if i != number]
        new_names: dict[str, str] = {}
        for name, meaning in means[number].items():
            differs = any(meanings.get(name, meaning) != meaning for meanings in others)
            if differs and name != child and not meaning.startswith(_IMPORTED):
                new_names[name] = next(new for i in itertools.count(1) if (new := f"{name}_{i}") not in taken)
                taken.add(new_names[name])
        apart.append(ast.unparse(_Rename(new_names).visit(parse(part))) if new_names else part)
    return apart


def _identifiers(module: str) -> set[str]:
    nodes = [*ast.walk(parse(module))]
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return (
        {node.id for node in nodes if isinstance(node, ast.Name)}
        | {node.arg for node in nodes if isinstance(node, ast.arg)}
        | {node.name for node in nodes if isinstance(node, named)}
    )


def _meanings(module: str, own: str) -> dict[str, str]:
    """What a module means by the names at its top: equal functions are one, variables are each module's own."""
    meanings: dict[str, str] = {}
    for node in parse(module).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                meanings[name] = ast.unparse(node)
            case ast.Import() | ast.ImportFrom():
                meanings |= dict.fromkeys(names_of(node), _IMPORTED + ast.unparse(node))
            case _:
                meanings |= dict.fromkeys(names_of(node), own)
    return meanings


class _Rename(ast.NodeTransformer):
    """Renames functions, classes and variables of a module's top where they are made and where they are used."""

    def __init__(self, new_names: dict[str, str]) -> None:
        self._new_names = new_names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(id=self._new_names.get(node.id, node.id), ctx=node.ctx)

    def visit_Global(self, node: ast.Global) -> ast.Global:
        return ast.Global(names=[self._new_names.get(name, name) for name in node.names])

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.Nonlocal:
        return ast.Nonlocal(names=[self._new_names.get(name, name) for name in node.names])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = self._new_names.get(node.name or "", node.name or "") or None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Methods and attributes of a class are not the module's."""
        node.name = self._new_names.get(node.name, node.name)
        own = {name for part in node.body for name in names_of(part)}
        return self._without(own).generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._new_names.get(node.name, node.name)
        return self._inside(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.name = self._new_names.get(node.name, node.name)
        return self._inside(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._inside(node)

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> ast.AST:
        """A parameter is nobody else's."""
        return self._without({n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}).generic_visit(node)

    def _without(self, names: Collection[str]) -> _Rename:
        return _Rename({name: new for name, new in self._new_names.items() if name not in names})


def _keys_of(main: str, body: dict[str, ast.stmt]) -> set[str]:
    """Keys of the statements that come from the parent's module."""
    texts = {ast.unparse(node) for node in parse(main).body}
    return {key for key, node in body.items() if ast.unparse(node) in texts}


def mentioned(body: Mapping[str, ast.stmt], roots: Collection[str]) -> set[str]:
    """Keys of the statements that the roots need, directly or not, and of those that prepare what they need.

    Args:
        body: statements of a module, by any keys.
        roots: keys of those that are needed in any case.
    """
    bound = {key: _binds(node) for key, node in body.items()}
    prepared = {key: _prepares(node) for key, node in body.items()}
    kept, todo = set(roots), list(roots)
    while todo:
        key = todo.pop()
        names = _names_in(body[key])
        found = {other for other in body if bound[other] & names or prepared[other] & bound[key]} - kept
        kept |= found
        todo += found
    return kept


def _names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def registering(nodes: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Definitions that a decorator of the module's own may keep somewhere, as in `@table.register`."""
    tops = {name for node in nodes if not isinstance(node, ast.Import | ast.ImportFrom) for name in names_of(node)}
    return [node for node in nodes if any(_names_in(one) & tops for one in getattr(node, "decorator_list", ()))]


def _prepares(node: ast.stmt) -> set[str]:
    """What a statement does something with when the module is loaded, such as filling a table; printing aside."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return set()
        case ast.Expr(value=ast.Call()) | ast.For() | ast.While() | ast.With() | ast.If() | ast.AugAssign():
            return _names_in(node)
        case _:
            return set()


def _binds(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return {name}  # primes.append(2)
        case _:
            return {name for n in ast.walk(node) for name in introduces(n)}
