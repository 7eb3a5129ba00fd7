"""Makers of argument values: by a parameter's annotation, by its name, or by a value that was seen."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Sequence
from typing import Any

from leafwise.runtime.syntax import parse

Maker = Callable[[random.Random], Any]
"""Makes a value; the same one from the same state of the random numbers."""


def makers_of(signature: str | None, statement: str = "") -> list[Maker]:
    """One maker of values per parameter.

    Args:
        signature: the function's `def` line.
        statement: what is asked for: says whether lists are of texts.

    Returns:
        Nothing if any parameter's annotation is not understood, or there is none to be given by position. A parameter
        without an annotation gets values that suit its name, and of several types if the name says nothing.
    """
    if signature is None:
        return []
    function = parse(signature + " pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    parameters = [*function.args.posonlyargs, *function.args.args]
    if not parameters or function.args.kwonlyargs:
        return []
    try:
        return [_maker(p.annotation) if p.annotation else _maker_by_name(p.arg, statement) for p in parameters]
    except KeyError:
        return []


# --- by annotation ---------------------------------------------------------------------------------------------------


def _maker(annotation: ast.expr) -> Maker:
    """A maker for a type annotation.

    Raises:
        KeyError: the type is none of the plain ones.
    """
    match annotation:
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            return _PLAIN[name.lower()]
        case ast.Constant(value=None):
            return lambda rng: None
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _container(name.lower(), inner.elts if isinstance(inner, ast.Tuple) else [inner])
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            makers = [_maker(left), _maker(right)]
            return lambda rng: rng.choice(makers)(rng)
        case _:
            raise KeyError(ast.unparse(annotation))


def _container(name: str, inner: Sequence[ast.expr]) -> Maker:
    fixed = [e for e in inner if not (isinstance(e, ast.Constant) and e.value is ...)]
    makers = [_maker(e) for e in fixed]
    _refuse_nonsense(name, fixed)
    first = makers[0]
    match name:
        case "list" | "sequence" | "iterable":
            return _integers if first is _integer else _list_of(first)
        case "set":
            return lambda rng: {first(rng) for _ in range(rng.choice([0, 1, 3, 5]))}
        case "tuple" if len(fixed) == len(inner):
            return lambda rng: tuple(make(rng) for make in makers)
        case "tuple":
            return lambda rng: tuple(first(rng) for _ in range(rng.choice([0, 1, 3])))
        case "dict":
            return lambda rng: {first(rng): makers[1](rng) for _ in range(rng.choice([0, 1, 3]))}
        case "optional":
            return lambda rng: None if rng.random() < 0.2 else first(rng)
        case "union":
            return lambda rng: rng.choice(makers)(rng)
        case _:
            raise KeyError(name)


def _refuse_nonsense(name: str, inner: Sequence[ast.expr]) -> None:
    """Raise KeyError at a model's slip, such as `set[list[int]]`, `dict[str]` or `tuple[()]`."""
    if not inner or (name == "dict" and len(inner) != 2) or (name in ("set", "dict") and _is_unhashable(inner[0])):
        raise KeyError(name)


def _is_unhashable(annotation: ast.expr) -> bool:
    names = {n.id.lower() for n in ast.walk(annotation) if isinstance(n, ast.Name)}
    names |= {n.value.lower() for n in ast.walk(annotation) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return bool(names & {"list", "set", "dict", "sequence", "iterable"})


# --- plain values: boundaries, and enough of the usual for wrong programs to show ------------------------------------


def _integer(rng: random.Random) -> int:
    few = rng.choice([0, 1, -1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 24, 25, 36, 97, 100])
    return rng.choice([few, few, rng.randint(0, 30), rng.randint(-50, 150), rng.randint(0, 1000)])


def _integers(rng: random.Random) -> list[int]:
    """A list whose items are near each other, so that repetitions and orders occur."""
    low, high = rng.choice([(0, 3), (1, 9), (-9, 9), (-5, 40), (0, 130), (-150, 150), (0, 5000)])
    return [rng.randint(low, high) for _ in range(rng.choice([0, 1, 2, 3, 4, 5, 6, 8, 10]))]


def _text(rng: random.Random) -> str:
    words = ["", "a", "ab", "Hello", "hello world", "racecar", "A1b2", "  x ", "12", "a,b;c", "aaBBcc"]
    letters = rng.choice(["ab", "abc", "aeiouxyz", "abAB", "a b", "01", "0123456789", "()", "aB1 .,!"])
    made = "".join(rng.choice(letters) for _ in range(rng.choice([1, 2, 3, 4, 5, 7, 10])))
    return rng.choice([rng.choice(words), made, made, " ".join([made, rng.choice(words), made[::-1]])])


def _float(rng: random.Random) -> float:
    return rng.choice([0.0, 1.0, -1.5, 0.1, 2.5, 3.14, round(rng.uniform(-5, 5), 1), round(rng.uniform(-100, 100), 3)])


def _list_of(first: Maker) -> Maker:
    return lambda rng: [first(rng) for _ in range(rng.choice([0, 1, 2, 3, 5, 8]))]


_PLAIN: dict[str, Maker] = {
    "int": _integer,
    "float": _float,
    "bool": lambda rng: rng.random() < 0.5,
    "str": _text,
    "list": _integers,
    "tuple": lambda rng: tuple(_integer(rng) for _ in range(rng.choice([0, 1, 3]))),
    "set": lambda rng: {_integer(rng) for _ in range(rng.choice([0, 1, 3]))},
    "dict": lambda rng: {_text(rng): _integer(rng) for _ in range(rng.choice([0, 1, 3]))},
    "none": lambda rng: None,
}

# --- by name ---------------------------------------------------------------------------------------------------------

_TEXTS_NAMES = frozenset(["strings", "words", "names", "texts", "sentences"])
_KINDS: dict[str, Maker] = {
    **dict.fromkeys(("n", "m", "k", "num", "number", "count", "size", "length", "year", "age", "index"), _integer),
    **dict.fromkeys(("i", "j", "start", "end", "limit"), _integer),
    **dict.fromkeys(("s", "st", "str", "string", "text", "txt", "word", "sentence", "message", "msg", "date"), _text),
    **dict.fromkeys(("name", "char", "prefix", "suffix", "line"), _text),
    **dict.fromkeys(("l", "ls", "xs", "lst", "lst1", "lst2", "li", "list", "arr", "array", "seq"), _integers),
    **dict.fromkeys(("nums", "numbers", "items", "elements", "values"), _integers),
    **dict.fromkeys(_TEXTS_NAMES, _list_of(_text)),
    **dict.fromkeys(("grid", "matrix", "board"), _list_of(_integers)),
}


def _maker_by_name(name: str, statement: str) -> Maker:
    made = _KINDS.get(name.lower().strip("_"), _any)
    return _list_of(_text) if made is _integers and "of strings" in statement else made


def _any(rng: random.Random) -> Any:
    return rng.choice([_integer, _integer, _text, _integers])(rng)
