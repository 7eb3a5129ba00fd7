"""The operators on the candidate's objects, by the names of their methods, and what the solver does for each.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from typing import Any

_ARITHMETIC = ["add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "lshift", "rshift", "and", "xor", "or"]
COMPARISONS = ("__lt__", "__le__", "__gt__", "__ge__")
REFLECTED = (*_ARITHMETIC, "pow", "divmod")
"""Names, without underscores, of those that may be the right operand's to say."""
_OTHERS = "ipow neg pos invert abs index"
_OPERATORS = [*_ARITHMETIC, *(f"i{name}" for name in _ARITHMETIC), *_OTHERS.split()]
OPERATORS: dict[str, Callable[..., Any]] = {
    **{f"__{name}__": getattr(operator, f"__{name}__") for name in _OPERATORS},
    **{name: getattr(operator, name) for name in COMPARISONS},
    **{f"__{name}__": getattr(builtins, name) for name in ("pow", "divmod", "int", "float", "complex", "round")},
    **{f"__{name}__": getattr(math, name) for name in ("trunc", "floor", "ceil")},
}
"""Method -> what Python does for it, the right operand's method and `NotImplemented` included."""


def enter(value: Any) -> object:
    """Begin a `with` block.

    Raises:
        TypeError: the value is no context manager.
    """
    kind = type(value)
    if not (hasattr(kind, "__enter__") and hasattr(kind, "__exit__")):
        raise TypeError(f"{kind.__name__!r} object does not support the context manager protocol")
    return kind.__enter__(value)


def leave(value: Any, name: str | None, text: str) -> None:
    """End a `with` block, with the exception that ended it if there is a name."""
    kind = getattr(builtins, name, RuntimeError) if name is not None else None
    type(value).__exit__(value, kind, kind(text) if kind is not None else None, None)
