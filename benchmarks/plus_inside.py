"""How EvalPlus 0.3.1 compares results, without numpy. Its source runs inside the sandbox: standard library only.

A result passes if it equals the expected one. If not, it passes where a tolerance is in force, both have the same
type, and `numpy.allclose` with a relative tolerance of 1e-7 would agree. The absolute tolerance is the problem's; where
that is 0, it is 1e-6 from the first expected float on.

Expected results that are long, and that a tolerance cannot touch, are kept as digests of `canonical`, a text that is the
same for values that are equal: `1`, `1.0` and `True` are, a list and a tuple are not.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

RTOL = 1e-07
FLOAT_ATOL = 1e-06
LONG = 2000
"""Characters of a result's `canonical` text from which on its digest is kept."""


def results_of(function: Callable[..., Any], parts: list[list[list[Any]]], atol: float) -> str:
    """What `check_plus` compares with: JSON where that keeps the values (it is read quickly), else Python.

    Args:
        function: the reference.
        parts: lists of inputs, each a list of arguments.
        atol: the problem's absolute tolerance.

    Raises:
        TypeError: a result is no plain data.
    """
    found = []
    for part in parts:
        tolerance = atol
        for values in part:
            result = function(*values)
            tolerance = tolerance_for(result, tolerance)
            found.append([result] if tolerance else compact(result))
    return json.dumps(found) if is_json(found) else repr(found)


def compact(result: Any) -> Any:
    """A result in a list of its own, or, if it is long and can be compared by it, its digest."""
    try:
        text = canonical(result)
    except ValueError:  # NaN inside: equal to nothing
        return [result]
    return [result] if len(text) < LONG else digest(text)


def digest(text: str) -> str:
    """SHA-256 of a text, which may have lone surrogates."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> str:
    """A text that two values share exactly if they are equal.

    Raises:
        ValueError: there is NaN inside.
        TypeError: the value is no plain data.
    """
    return "".join(_pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, int):
        yield f"{value:x},"
    elif isinstance(value, str):
        yield f"s{len(value)}:"
        yield value
    elif isinstance(value, (list, tuple)):
        yield "[" if isinstance(value, list) else "("
        yield _whole(value) or "".join(map(canonical, value))
        yield "]"
    elif isinstance(value, dict):
        yield "{%s}" % "".join(sorted(canonical(key) + canonical(item) for key, item in value.items()))
    elif isinstance(value, (set, frozenset)):
        yield "<%s>" % "".join(sorted(map(canonical, value)))
    elif isinstance(value, (bytes, bytearray)):
        yield f"b{value.hex()},"
    else:
        yield "N" if value is None else _number(value)


def _whole(values: Any) -> str:
    """The same text for many whole numbers at once, which is quick; empty if they are not such."""
    if not {int, float, bool}.issuperset(map(type, values)):
        return ""
    try:
        whole = tuple(map(int, values))
    except OverflowError:  # infinity
        return ""
    return "%x," * len(whole) % whole if whole == tuple(values) else ""


def _number(value: Any) -> str:
    if isinstance(value, complex):
        parts = _number(value.real), _number(value.imag)
        return parts[0] if value.imag == 0 else f"c{parts[0]}{parts[1]}"
    if not hasattr(value, "as_integer_ratio"):
        raise TypeError(f"{type(value).__name__} is no plain data")
    try:
        above, below = value.as_integer_ratio()
    except OverflowError:
        return f"{float(value)},"
    return f"{above:x}," if below == 1 else f"{above:x}/{below:x},"


def from_text(text: str) -> Any:
    """The list of a text that `results_of` wrote."""
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


def tolerance_for(expected: Any, tolerance: float) -> float:
    """The absolute tolerance in force for a result and those after it."""
    return FLOAT_ATOL if tolerance == 0 and has_floats(expected) else tolerance


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


def is_root(out: Any, coefficients: list[float], atol: float) -> bool:
    """Whether a polynomial is 0 at a point, up to the tolerance."""
    return abs(sum(c * math.pow(out, i) for i, c in enumerate(coefficients))) <= atol


def check_plus(candidate: Callable[..., Any], expected: str, inputs: str, atol: float, oracle: str) -> None:
    """Try a candidate on all inputs.

    Args:
        candidate: the function.
        expected: what `results_of` gave for the reference.
        inputs: JSON: lists of inputs, each a list of arguments; the tolerance starts anew with each list.
        atol: the problem's absolute tolerance.
        oracle: `find_zero` where a result is right if the polynomial is 0 there.

    Raises:
        AssertionError: names the first input that failed.
    """
    results = iter(from_text(expected))
    for number, part in enumerate(json.loads(inputs)):
        tolerance = atol
        for at, values in enumerate(part):
            coefficients = [*values[0]] if oracle else []  # before the candidate can change them
            out, wanted = candidate(*values), next(results)
            if oracle:
                right = is_root(out, coefficients, tolerance)
            elif isinstance(wanted, str):
                right = has_digest(out, wanted)
            else:
                tolerance = tolerance_for(wanted[0], tolerance)
                right = is_right(out, wanted[0], tolerance)
            if not right:
                values = json.loads(inputs)[number][at]  # as they were
                raise AssertionError(f"for {shown(values)[1:-1]}: {shown(out)} instead of {told(wanted)}")


def has_digest(out: Any, wanted: str) -> bool:
    """Whether a result equals the one that a digest was made of."""
    try:
        return digest(canonical(out)) == wanted
    except (TypeError, ValueError, ArithmeticError, RecursionError):  # no plain data, or NaN
        return False


def told(wanted: Any) -> str:
    """An expected result, for the message."""
    return f"a long result with the digest {wanted[:12]}" if isinstance(wanted, str) else shown(wanted[0])


def shown(value: Any) -> str:
    """A value as the message has it."""
    try:
        return repr(value)[:200]
    except ValueError:  # an integer of too many digits
        return f"<{type(value).__name__} that is too long to be shown>"
