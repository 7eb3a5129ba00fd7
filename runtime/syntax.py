"""Parsing Python source, safely from several threads."""

from __future__ import annotations

import ast
import threading
from typing import Literal, overload

_one_at_a_time = threading.RLock()
"""Up to CPython 3.11.7 all threads share one counter of the parser's depth, and garbage collection may switch threads
within `ast.parse`, which then raises SystemError now and then (CPython issue 106905).
"""


@overload
def parse(source: str, mode: Literal["exec"] = "exec") -> ast.Module: ...


@overload
def parse(source: str, mode: Literal["eval"]) -> ast.Expression: ...


def parse(source: str, mode: Literal["exec", "eval"] = "exec") -> ast.Module | ast.Expression:
    """Parse a module, or an expression. See `ast.parse`.

    Raises:
        SyntaxError: it is no Python.
        ValueError: it has null bytes, or characters that cannot be encoded.
        RecursionError: it is nested too deeply.
        MemoryError: it is nested far too deeply.
    """
    with _one_at_a_time:
        return ast.parse(source, mode="eval") if mode == "eval" else ast.parse(source)


def literal(text: str) -> object:
    """The value of a Python literal. See `ast.literal_eval`, which parses too.

    Raises:
        ValueError: it is none.
    """
    try:
        return ast.literal_eval(parse(text.strip(" \t"), mode="eval"))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"no literal: {error}") from error
