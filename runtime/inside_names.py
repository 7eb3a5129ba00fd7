"""The names that setup, checks and expected values find: those of the library, and the program's where it is meant.

A program may give its functions any names. One that the library has is the program's only where the task asks for a
function of that name. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import builtins
import importlib
import types
from typing import Any

from leafwise.runtime.inside_standin import Remote, is_maker, maker, means_class

PRELOADED = (
    "collections",
    "copy",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "random",
    "re",
    "string",
)
"""Modules that checks have without importing them."""
_USUAL = {
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    **dict.fromkeys(("inf", "nan", "isclose", "pi", "sqrt"), "math"),
    **dict.fromkeys(("date", "datetime", "timedelta"), "datetime"),
    "Decimal": "decimal",
    "Fraction": "fractions",
}
"""Names that expected values are often built with, and their modules."""


def let_classes_make(names: dict[str, Any], entry_point: str | None) -> dict[str, Any]:
    """The program's names, its classes among them as such whose objects the checks may call their own.

    Where a function is asked for, a class that stands in its place is none of these: its objects would answer for plain
    data. Where no function is known by name, capital letters tell what the checks mean by a name.
    """
    return {name: maker(value) if name != entry_point and means_class(name) else value for name, value in names.items()}


class CheckNames:
    """The names of one program's checks.

    Args:
        job: setup, checks and entry point.
        names: the program's top-level names and values.
    """

    def __init__(self, job: Any, names: dict[str, Any]) -> None:
        self._asked_for: str | None = job["entry_point"]
        self._names = names
        self.space: dict[str, Any] = {"__name__": "checks", "__builtins__": builtins}
        """The global names of setup and checks."""
        texts = [job["setup"], *(check["code"] for check in job["checks"])]
        every = "\n".join([*texts, *(check["expected"] or "" for check in job["checks"])])
        self.space |= {name: importlib.import_module(name) for name in PRELOADED if name in every}
        free = {name: value for name, value in names.items() if _may_be_given(name)}
        clash = free.keys() & self.space.keys() - {self._asked_for}
        if clash:  # a module can't be called: a call of its name means the candidate's function
            clash -= _called_names(texts)
        self._given = {name: value for name, value in free.items() if name not in clash}
        self.space |= self._given

    def ask_for_entry_point(self) -> None:
        """From now on the entry point's name is the program's, though a builtin has it, and nothing if it has none.

        What the setup has defined until now keeps the builtin.
        """
        name = self._asked_for
        if name is None or name.startswith("__") or not hasattr(builtins, name):
            return
        found = {key: value for key, value in vars(builtins).items() if key != name}
        self.space["__builtins__"] = found | ({name: self._names[name]} if name in self._names else {})

    def of_expected(self, code: types.CodeType) -> dict[str, Any]:
        """The global names of an expected value, in which those of the library are the library's own.

        The candidate's of that name, which the setup did not replace, would be whatever the candidate likes.
        """
        own = {name: _of_library(name) for name in _names_in(code) if self._is_borrowed(name)}
        return self.space | {"__builtins__": builtins} | own

    def _is_borrowed(self, name: str) -> bool:
        if hasattr(builtins, name):  # only the setup can have taken it from the program
            return isinstance(self.space.get(name), Remote)
        return (name in _USUAL or name in PRELOADED) and self.space.get(name) is self._given.get(name)


class Solution(types.ModuleType):
    """What `import solution` gives in the setup and the checks; constants are read anew each time.

    Args:
        module: the stand-in for the program's module.
        names: the program's top-level names and values.
        entry_point: the function that the task asks for, which `import *` gives even under a builtin's name.
    """

    def __init__(self, module: Remote, names: dict[str, Any], entry_point: str | None) -> None:
        super().__init__("solution")
        public = [name for name in names if not name.startswith("_")]
        self.__all__ = [name for name in public if name == entry_point or not hasattr(builtins, name)]
        self._reach = module, names

    def __getattr__(self, name: str) -> Any:
        module, names = self.__dict__["_reach"]
        if name not in names:
            raise AttributeError(f"the program has no top-level name {name!r}")
        held = names[name]
        if isinstance(held, type):
            return held
        return maker(getattr(module, name)) if is_maker(held) else getattr(module, name)


def _of_library(name: str) -> Any:
    if hasattr(builtins, name):
        return getattr(builtins, name)
    return getattr(importlib.import_module(_USUAL[name]), name) if name in _USUAL else importlib.import_module(name)


def _names_in(code: types.CodeType) -> set[str]:
    """All names that code reads or calls, in comprehensions and lambdas too."""
    inner = [_names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _may_be_given(name: str) -> bool:
    return name.isidentifier() and not name.startswith("__") and not hasattr(builtins, name)


def _called_names(codes: list[str]) -> set[str]:
    import ast  # not warm: rarely asked for

    called = set()
    for code in codes:
        try:
            tree = ast.parse(code.strip())
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called.add(node.func.id)
    return called
