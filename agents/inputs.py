"""Inputs on which candidates are compared: variations of the visible calls, and values that suit its parameters."""

from __future__ import annotations

import ast
import itertools
import math
import random
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from leafwise.agents.contracts import Spec
from leafwise.agents.values import makers_of
from leafwise.runtime.syntax import parse

_MAX_TEXT = 2000
_VARIATIONS = 4


def generate_inputs(spec: Spec, count: int, seed: int, proposed: Sequence[str] = ()) -> tuple[str, ...]:
    """Call expressions for a spec's function, the same for the same seed.

    Args:
        spec: the function; calls come from its examples' arguments and its parameters, by annotation or name.
        count: most calls.
        seed: of the choices.
        proposed: calls that somebody proposes, such as the tester: they are taken, as far as there is room for half
            of the count, and varied as the examples' are.

    Returns:
        At most `count` different calls, boundary values among them, short ones first, so that a candidate that needs
        too long for the long ones has answered before; none if nothing is known about the arguments.
    """
    if spec.entry_point is None:
        return ()
    arguments = {call: literal_arguments(call, spec.entry_point) for call in proposed if len(call) <= _MAX_TEXT}
    usable = [call for call, found in arguments.items() if found]
    taken = dict.fromkeys(usable[: (count + 1) // 2])
    own = iter(_made(spec, count, random.Random(seed)))
    # each by its own random numbers: what one call is varied to does not depend on who else proposes what
    rounds = [(call, i) for i in range(_VARIATIONS) for call in usable]
    varied = iter([_vary(arguments[call] or [], random.Random(f"{seed} {i} {call}")) for call, i in rounds])
    visible = {example.code for example in spec.examples}
    for made in itertools.chain.from_iterable(itertools.zip_longest(own, varied)):
        if len(taken) >= count:
            break
        call = _call(spec.entry_point, made) if made is not None else ""
        if 0 < len(call) <= _MAX_TEXT and call not in visible:
            taken[call] = None
    return tuple(sorted(taken, key=len))


def _made(spec: Spec, count: int, rng: random.Random) -> Iterator[list[Any]]:
    """Arguments like those of the visible examples, and such as suit the parameters; more than are wanted."""
    known = [found for example in spec.examples if (found := literal_arguments(example.code, spec.entry_point or ""))]
    makers = makers_of(spec.signature, spec.statement)
    for _ in range(count * 8 if known or makers else 0):
        vary = known and (not makers or rng.random() < 0.5)
        yield _vary(rng.choice(known), rng) if vary else [make(rng) for make in makers]


def _call(name: str, arguments: Sequence[Any]) -> str:
    return f"{name}({', '.join(map(_literal, arguments))})"


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
    """The positional arguments of the first call of `name` in code such as an assert, if they are all literals."""
    try:
        tree = parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
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
            *[_in_form(value, rng)] * 3,
        ]
    )


def _in_form(text: str, rng: random.Random) -> str:
    """Another text of the same form, such as another date: some digits and letters are others of their kind."""
    kinds = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    found = [next((kind for kind in kinds if letter in kind), letter) for letter in text]
    return "".join(
        rng.choice(kind) if rng.random() < (0.5 if kind in kinds[:1] else 0.2) else letter
        for letter, kind in zip(text, found, strict=True)
    )


def _vary_items(items: list[Any], rng: random.Random, vary_one: Callable[[Any], Any] | None = None) -> list[Any]:
    one = vary_one or (lambda item: vary_value(item, rng))
    shuffled = rng.sample(items, len(items))
    changed = [one(item) if rng.random() < 0.5 else item for item in items]
    return rng.choice([[], items[:1], items[::-1], shuffled, items[1:], items + items[:1], changed, changed])
