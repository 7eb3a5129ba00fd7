"""Functions, classes and methods of context files as documents: what is ranked, and what a prompt shows of them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_NAMED_TWICE = 2
"""A word of a name counts as often as so many words of a docstring."""


@dataclass(frozen=True)
class Document:
    """A public function, class or method."""

    module: str
    """For example `shop.prices`."""
    name: str
    """Of the function or class; of a method, its own."""
    head: str
    """What stands above the docstring: decorators and the `def` or `class` line."""
    docstring: str
    """As written, unindented; empty without one."""
    members: str = ""
    """Of a class: its annotated fields and the signature of `__init__`."""
    owner: str = ""
    """Of a method: its class."""

    @property
    def label(self) -> str:
        """What people are told: `parse_line`, or `Range.days`."""
        return f"{self.owner}.{self.name}" if self.owner else self.name

    @property
    def importable(self) -> str:
        """What is imported: the function or the class."""
        return self.owner or self.name

    @property
    def words(self) -> str:
        """The text that is ranked."""
        names = " ".join([self.name, self.owner] * _NAMED_TWICE)
        return f"{names} {self.module} {self.head} {self.members} {self.docstring}"

    def shortened(self) -> Document:
        """With the docstring's first paragraph only."""
        first = self.docstring.split("\n\n")[0]
        return Document(self.module, self.name, self.head, first, self.members, self.owner)


def documents_of(trees: Mapping[str, ast.Module]) -> list[Document]:
    """All public functions and classes at the top of modules, and the public methods of these classes, as written."""
    return [document for module, tree in trees.items() for node in tree.body for document in _documents(module, node)]


def _documents(module: str, node: ast.stmt) -> Iterator[Document]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("_"):
            yield Document(module, name, _head(node), _docstring(node))
        case ast.ClassDef(name=name) if not name.startswith("_"):
            yield Document(module, name, _class_head(node), _docstring(node), _members(node))
            for inner in node.body:
                if isinstance(inner, _FUNCTION) and not inner.name.startswith("_") and not _is_repeated(inner):
                    yield Document(module, inner.name, _head(inner), _docstring(inner), owner=name)
        case _:
            return


def _head(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    decorators = [f"@{ast.unparse(decorator)}" for decorator in function.decorator_list]
    kind = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return "\n".join([*decorators, f"{kind} {function.name}({ast.unparse(function.args)}){returns}:"])


def _class_head(node: ast.ClassDef) -> str:
    decorators = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    bases = ", ".join(ast.unparse(base) for base in (*node.bases, *node.keywords))
    return "\n".join([*decorators, f"class {node.name}({bases}):" if bases else f"class {node.name}:"])


def _members(node: ast.ClassDef) -> str:
    """What a caller needs to make one: fields, and how `__init__` is called."""
    fields = [ast.unparse(inner) for inner in node.body if isinstance(inner, ast.AnnAssign)]
    made = [i for i in node.body if isinstance(i, ast.FunctionDef) and i.name == "__init__" and not _is_repeated(i)]
    return "\n".join([*fields, *(f"{_head(function)} ..." for function in made)])


def _is_repeated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is one of several definitions of a name: an overload, or the setter of a property."""
    decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
    return any(text.endswith(("overload", ".setter", ".deleter")) for text in decorators)


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    text = ast.get_docstring(node) or ""
    return text.replace('"""', "'''").replace("```", "~~~").strip()  # neither its quotes nor the prompt's fence end


# --- as a prompt shows them ------------------------------------------------------------------------------------------


def render(documents: Sequence[Document]) -> str:
    """Import lines, then stubs: signatures and docstrings, never a body. In the order given; methods in their class."""
    names: dict[str, dict[str, None]] = {}
    for document in documents:
        names.setdefault(document.module, {})[document.importable] = None
    imports = [f"from {module} import {', '.join(wanted)}" for module, wanted in names.items()]
    stubs = [
        stub
        for module, wanted in names.items()
        for name in wanted
        if (stub := _stub(name, [d for d in documents if d.module == module and d.importable == name]))
    ]
    return "\n\n".join(["\n".join(imports), *stubs]) if imports else ""


def _stub(name: str, documents: Sequence[Document]) -> str:
    """A function, or a class with those of its methods that are shown."""
    whole = next((document for document in documents if not document.owner), None)
    methods = [_block(document, "...") for document in documents if document.owner]
    if not methods and whole is not None:
        return _block(whole, whole.members or "...")
    members = "\n\n".join(part for part in (whole.members if whole else "", *methods) if part)
    return _block(whole, members) if whole else f"class {name}:\n{textwrap.indent(members, '    ')}"


def _block(document: Document, body: str) -> str:
    docstring = f'"""{document.docstring}"""\n' if document.docstring else ""
    return f"{document.head}\n{textwrap.indent(docstring + body, '    ')}"


def import_lines(documents: Sequence[Document]) -> str:
    """One import per line, so that an answer which lacks one can be given just that.

    Names of built-in functions are left out: who writes `filter` means Python's.
    """
    import builtins

    lines: dict[str, None] = {}
    for document in documents:
        if not hasattr(builtins, document.importable):
            lines[f"from {document.module} import {document.importable}"] = None
        lines[f"import {document.module}"] = None
    return "\n".join(lines)
