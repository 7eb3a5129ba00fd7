"""Inputs on which candidates are compared: variations of the visible calls, and values made from type annotations."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from leafwise.agents.contracts import Spec

_MAX_TEXT = 2000


def generate_inputs(spec: Spec, count: int, seed: int) -> tuple[str, ...]:
    """Call expressions for a spec's function, the same for the same seed.

    Args:
        spec: the function; calls come from its examples' arguments and its annotated parameters.
        count: most calls.
        seed: of the choices.

    Returns:
        At most `count` different calls, boundary values among them; none if nothing is known about the arguments.
    """
    if spec.entry_point is None:
        return ()
    rng = random.Random(seed)
    known = [arguments for example in spec.examples if (arguments := literal_arguments(example.code, spec.entry_point))]
    makers = _makers(spec.signature)
    found: dict[str, None] = {}
    for _ in range(count * 8):
        if known and (not makers or rng.random() < 0.7):
            arguments = _vary(rng.choice(known), rng)
        elif makers:
            arguments = [make(rng) for make in makers]
        else:
            break
        call = f"{spec.entry_point}({', '.join(map(_literal, arguments))})"
        if len(call) <= _MAX_TEXT:
            found[call] = None
        if len(found) == count:
            break
    return tuple(found)


def _literal(value: Any) -> str:
    """`repr`, but with the items of sets in an order that is the same in every process."""
    match value:
        case set() if value:
            return f"{{{', '.join(sorted(map(_literal, value)))}}}"
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case tuple():
            return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
        case dict():
            return f"{{{', '.join(f'{_literal(k)}: {_literal(v)}' for k, v in value.items())}}}"
        case float() if not math.isfinite(value):
            return f"float('{value}')"
        case _:
            return repr(value)


def literal_arguments(code: str, name: str) -> list[Any] | None:
    """The positional arguments of the first call of `name` in an expression, if they are all literals."""
    try:
        tree = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            try:
                return [ast.literal_eval(argument) for argument in node.args] if not node.keywords else None
            except (ValueError, TypeError):
                return None
    return None


# --- variations of known arguments -----------------------------------------------------------------------------------


def _vary(arguments: Sequence[Any], rng: random.Random) -> list[Any]:
    """Change one argument, sometimes all."""
    if rng.random() < 0.3:
        return [vary_value(a, rng) for a in arguments]
    chosen = rng.randrange(len(arguments))
    return [vary_value(a, rng) if i == chosen else a for i, a in enumerate(arguments)]


def vary_value(value: Any, rng: random.Random) -> Any:
    """A value of the same type: a boundary value, or a small change."""
    match value:
        case bool():
            return not value
        case int():
            return rng.choice([0, 1, -1, 2, value + 1, value - 1, -value, value * 2, rng.randint(-20, 100)])
        case float():
            return rng.choice([0.0, 1.0, -value, value * 2, value + 0.5, round(rng.uniform(-10, 10), 2)])
        case str():
            return _vary_text(value, rng)
        case list() | tuple():
            return type(value)(_vary_items(list(value), rng))
        case dict():
            items = _vary_items(list(value.items()), rng, vary_one=lambda item: (item[0], vary_value(item[1], rng)))
            return dict(items)
        case set() | frozenset():
            return type(value)(_vary_items(sorted(value, key=repr), rng))
        case _:
            return value


def _vary_text(value: str, rng: random.Random) -> str:
    letters = value or "ab"
    shuffled = "".join(rng.sample(letters, len(letters)))
    return rng.choice(
        [
            *("", " ", letters[0], value + " " + letters[0]),
            *(value[::-1], value.upper(), value.title(), value + value, value[1:], value[:-1]),
            *(shuffled, shuffled[: rng.randint(0, len(shuffled))]),
        ]
    )


def _vary_items(items: list[Any], rng: random.Random, vary_one: Callable[[Any], Any] | None = None) -> list[Any]:
    one = vary_one or (lambda item: vary_value(item, rng))
    shuffled = rng.sample(items, len(items))
    changed = [one(item) if rng.random() < 0.5 else item for item in items]
    return rng.choice([[], items[:1], items[::-1], shuffled, items[1:], items + items[:1], changed, changed])


# --- values from annotations -----------------------------------------------------------------------------------------


def _makers(signature: str | None) -> list[Callable[[random.Random], Any]]:
    """One maker of values per parameter; empty if any parameter's type is not understood."""
    if signature is None:
        return []
    function = ast.parse(signature + " pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    parameters = [*function.args.posonlyargs, *function.args.args]
    annotations = [p.annotation for p in parameters]
    if not parameters or function.args.kwonlyargs or any(a is None for a in annotations):
        return []
    try:
        return [_maker(a) for a in annotations if a is not None]
    except KeyError:
        return []


def _maker(annotation: ast.expr) -> Callable[[random.Random], Any]:
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


def _container(name: str, inner: Sequence[ast.expr]) -> Callable[[random.Random], Any]:
    fixed = [e for e in inner if not (isinstance(e, ast.Constant) and e.value is ...)]
    makers = [_maker(e) for e in fixed]
    _refuse_nonsense(name, fixed)
    first = makers[0]
    match name:
        case "list" | "sequence" | "iterable":
            return lambda rng: [first(rng) for _ in range(rng.choice([0, 1, 2, 3, 5, 8]))]
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


def _integer(rng: random.Random) -> int:
    return rng.choice([0, 1, -1, 2, 3, 7, 10, 100, rng.randint(-50, 50), rng.randint(-1000, 1000)])


def _text(rng: random.Random) -> str:
    words = ["", "a", "ab", "Hello", "hello world", "racecar", "A1b2", "  x ", "12", "a,b;c", "aaBBcc"]
    return rng.choice(words)


_PLAIN: dict[str, Callable[[random.Random], Any]] = {
    "int": _integer,
    "float": lambda rng: rng.choice([0.0, 1.0, -1.5, 0.1, 2.5, round(rng.uniform(-100, 100), 3)]),
    "bool": lambda rng: rng.random() < 0.5,
    "str": _text,
    "list": lambda rng: [_integer(rng) for _ in range(rng.choice([0, 1, 2, 3, 5]))],
    "tuple": lambda rng: tuple(_integer(rng) for _ in range(rng.choice([0, 1, 3]))),
    "set": lambda rng: {_integer(rng) for _ in range(rng.choice([0, 1, 3]))},
    "dict": lambda rng: {_text(rng): _integer(rng) for _ in range(rng.choice([0, 1, 3]))},
    "none": lambda rng: None,
}
