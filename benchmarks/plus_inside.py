"""How EvalPlus 0.3.1 compares results, without numpy. Its source runs inside the sandbox: standard library only.

A result passes if it equals the expected one. If not, it passes where a tolerance is in force, both have the same
type, and `numpy.allclose` with a relative tolerance of 1e-7 would agree. The absolute tolerance is the problem's; where
that is 0, it is 1e-6 from the first expected float on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

RTOL = 1e-07
FLOAT_ATOL = 1e-06


def as_text(found: list[Any]) -> str:
    """A list of values as JSON where that is the same (read quickly), else as Python."""
    return json.dumps(found) if is_json(found) else repr(found)


def from_text(text: str) -> Any:
    """The values of a text that `as_text` wrote."""
    try:
        return json.loads(text)
    except ValueError:
        return eval(text, {"inf": math.inf, "nan": math.nan})


def is_json(value: Any) -> bool:
    """Whether JSON keeps a value as it is."""
    if type(value) is list:
        return all(map(is_json, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(is_json, value.values()))
    return value is None or type(value) in (bool, int, float, str)


def has_floats(value: Any) -> bool:
    """Whether a value is a float, or a list or tuple of floats."""
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def flat(value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested lists of numbers, and the numbers; a TypeError if they are no such thing."""
    if not isinstance(value, (list, tuple)):
        if not isinstance(value, (bool, int, float, complex)):
            raise TypeError("not a number")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            raise TypeError("too large for numpy")
        return (), [value]
    parts = [flat(item) for item in value]
    shapes = {shape for shape, _ in parts}
    if len(shapes) > 1:
        raise TypeError("of different lengths")
    return (len(value), *(shapes.pop() if shapes else ())), [number for _, numbers in parts for number in numbers]


def spread(shape: tuple[int, ...], numbers: list[Any], wanted: tuple[int, ...]) -> list[Any]:
    """The numbers repeated to another shape, as numpy broadcasts."""
    shape = (1,) * (len(wanted) - len(shape)) + shape
    if any(own not in (1, want) for own, want in zip(shape, wanted, strict=True)):
        raise TypeError("of shapes that do not fit")
    if not wanted:
        return numbers
    size = len(numbers) // shape[0] if shape[0] else 0
    rows = [spread(shape[1:], numbers[i * size : (i + 1) * size], wanted[1:]) for i in range(shape[0])]
    if shape[0] == 1:
        rows *= wanted[0]
    return [number for row in rows for number in row]


def is_close(out: Any, expected: Any, atol: float) -> bool:
    """Whether two values are the same up to the tolerances."""
    shape, numbers = flat(out)
    other, others = flat(expected)
    dims = max(len(shape), len(other))
    padded = [(1,) * (dims - len(s)) + s for s in (shape, other)]
    wanted = tuple(two if one == 1 else one for one, two in zip(*padded, strict=True))
    pairs = zip(spread(shape, numbers, wanted), spread(other, others, wanted), strict=True)
    return all(a == b or (abs(b) < math.inf and abs(a - b) <= atol + RTOL * abs(b)) for a, b in pairs)


def is_right(out: Any, expected: Any, atol: float) -> bool:
    """Whether a result passes, under the absolute tolerance in force."""
    if out == expected:
        return True
    if not atol or type(out) is not type(expected):
        return False
    if isinstance(expected, (list, tuple)) and len(out) != len(expected):
        return False
    try:
        return is_close(out, expected, atol)
    except (TypeError, ValueError, ArithmeticError):
        return False


def check_plus(candidate: Callable[..., Any], expected: str, inputs: str, atol: float, oracle: str) -> None:
    """Try a candidate on all inputs.

    Args:
        candidate: the function.
        expected: text of the results, one per input.
        inputs: JSON: lists of inputs, each a list of arguments; the tolerance starts anew with each list.
        atol: the problem's absolute tolerance.
        oracle: `find_zero` where a result is right if the polynomial is 0 there.

    Raises:
        AssertionError: names the first input that failed.
    """
    results = iter(from_text(expected))
    for part in json.loads(inputs):
        tolerance = atol
        for values in part:
            shown = repr(values)[1:-1]
            out, wanted = candidate(*values), next(results)
            if oracle == "find_zero":
                right = abs(sum(c * math.pow(out, i) for i, c in enumerate(values[0]))) <= tolerance
            else:
                if tolerance == 0 and has_floats(wanted):
                    tolerance = FLOAT_ATOL
                right = is_right(out, wanted, tolerance)
            if not right:
                raise AssertionError(f"for {shown[:200]}: {repr(out)[:200]} instead of {repr(wanted)[:200]}")
