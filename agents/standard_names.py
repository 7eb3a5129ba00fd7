"""Imports from the standard library that an answer forgot.

An answer begins with its `def` line, which is put into the model's mouth, so it cannot import anything before it; and
small models rarely do so inside. What it reads and nobody defines would be a NameError: where the standard library has
just one thing of that name that anybody means, the import is added.
"""

from __future__ import annotations

import ast
import builtins
import sys

from leafwise.agents.given import TYPE_HOMES, names_of, uses_of, with_given
from leafwise.runtime.syntax import parse

_EXPORTS: dict[str, tuple[str, ...]] = {
    "bisect": ("bisect", "bisect_left", "bisect_right", "insort"),
    "collections": ("ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "copy": ("deepcopy",),
    "dataclasses": ("dataclass",),
    "enum": ("Enum", "IntEnum"),
    "functools": ("cache", "cmp_to_key", "lru_cache", "partial", "reduce", "wraps"),
    "heapq": ("heapify", "heappop", "heappush", "heapreplace", "nlargest", "nsmallest"),
    "itertools": (
        *("accumulate", "chain", "combinations", "combinations_with_replacement", "cycle", "groupby", "islice"),
        *("pairwise", "permutations", "product", "starmap", "takewhile", "zip_longest"),
    ),
    "math": (
        *("ceil", "comb", "factorial", "floor", "gcd", "hypot", "inf", "isqrt", "lcm", "log2", "log10", "perm"),
        *("pi", "prod", "sqrt"),
    ),
    "operator": ("attrgetter", "itemgetter"),
    "string": ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "punctuation"),
}
_HOMES = TYPE_HOMES | {name: module for module, names in _EXPORTS.items() for name in names}


def with_standard_imports(code: str) -> str:
    """A module with the imports that it lacks.

    Args:
        code: a module that parses.
    """
    tree = parse(code)
    has = {name for node in tree.body for name in names_of(node)}
    lacking = uses_of(tree) - has - set(dir(builtins)) - _bound_inside(tree)
    lines = [f"from {_HOMES[name]} import {name}" for name in sorted(lacking & _HOMES.keys())]
    modules = {name for name in _modules_of(tree) & lacking if name not in _HOMES}
    return with_given(code, "\n".join([*(f"import {name}" for name in sorted(modules)), *lines]))


def _modules_of(tree: ast.AST) -> set[str]:
    """Names of the standard library's modules of which something is read, as in `math.sqrt`."""
    read = {n.value.id for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
    return {name for name in read if name in sys.stdlib_module_names and not name.startswith("_")}


def _bound_inside(tree: ast.AST) -> set[str]:
    """Names that statements inside of functions define: imports, functions and classes."""
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {name for node in ast.walk(tree) if isinstance(node, kinds) for name in names_of(node)}
