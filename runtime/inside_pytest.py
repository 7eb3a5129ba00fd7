"""What tests need of pytest where it is not installed, as in here: `raises`, `approx`, `fail`, marks that do nothing.

They are meant to say what pytest's own say. An object of the candidate is approximately nothing, and no `raises` takes
what says that a check was not tried. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from numbers import Number
from typing import Any, NoReturn

from leafwise.runtime.inside_arrays import array_type
from leafwise.runtime.inside_remote import SolverLost
from leafwise.runtime.inside_standin import NotTriedError

_RELATIVE, _ABSOLUTE = 1e-6, 1e-12
_NAME = "pytest"


class Failed(BaseException):
    """A test failed, as pytest says it: no `except Exception` of the test takes it."""


def offer_pytest() -> None:
    """Let checks import `pytest` if it is not there; each program's checks get a module of their own."""
    if _NAME not in sys.modules and importlib.util.find_spec(_NAME) is None:
        module = types.ModuleType(_NAME)
        vars(module).update(raises=raises, approx=Approx, fail=fail, mark=_Marks(), param=lambda *values, **_: values)
        sys.modules[_NAME] = module


def fail(reason: str = "", pytrace: bool = True) -> NoReturn:
    """End the test: it failed.

    Raises:
        Failed: always.
    """
    raise Failed(reason)


class _Marks:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **named: args[0] if args and isinstance(args[0], types.FunctionType | type) else _itself


def _itself(test: Any) -> Any:
    return test


class Raised:
    """What a `raises` block has caught: `value` and `type`."""

    value: BaseException
    type: type[BaseException]

    def match(self, pattern: str) -> bool:
        """Whether a regular expression is found in the exception's text.

        Raises:
            AssertionError: it is not.
        """
        text = str(self.value)
        if not re.search(pattern, text):
            raise AssertionError(f"{pattern!r} is not in {text!r}")
        return True


class _Raises:
    def __init__(self, expected: Any, match: str | None = None) -> None:
        self._kinds = expected if isinstance(expected, tuple) else (expected,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in self._kinds):
            raise TypeError("raises expects an exception type")
        self._match = match
        self._raised = Raised()

    def __enter__(self) -> Raised:
        return self._raised

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            fail(f"DID NOT RAISE {' or '.join(kind.__name__ for kind in self._kinds)}")
        if not isinstance(error, self._kinds) or isinstance(error, SolverLost | NotTriedError):
            return False
        self._raised.value, self._raised.type = error, type(error)
        return self._match is None or self._raised.match(self._match)


def raises(expected: Any, *call: Any, match: str | None = None, **named: Any) -> Any:
    """A `with` block that has to raise, or a function and its arguments, whose call has to.

    Args:
        expected: type of the exception, or a tuple of types.
        call: function and arguments, if it is no block.
        match: a regular expression to be found in the text of the exception.
        named: further arguments.
    """
    block = _Raises(expected, match)
    if not call:
        return block
    with block as raised:
        call[0](*call[1:], **named)
    return raised


class Approx:
    """Equals numbers, and lists, dictionaries and arrays of numbers, that are nearly the expected ones.

    Args:
        expected: a number, or one level of numbers; anything else has to be equal.
        rel: tolerance relative to the expected number; 1e-6, or none if only `abs` is given.
        abs: smallest tolerance; 1e-12.
        nan_ok: whether NaN equals NaN.

    Raises:
        TypeError: more than one level of numbers.
    """

    __array_ufunc__ = None  # numpy's operators leave the comparison to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: Any = None, abs: Any = None, nan_ok: bool = False) -> None:
        items = expected.values() if isinstance(expected, Mapping) else expected
        nested = isinstance(items, list | tuple) or isinstance(expected, Mapping)
        if nested and any(isinstance(item, list | tuple | Mapping) for item in items):
            raise TypeError("approx does not support nested data")
        self._expected, self._nan_ok = expected, nan_ok
        self._rel = _RELATIVE if rel is None and abs is None else rel or 0
        self._abs = _ABSOLUTE if abs is None else abs

    def __eq__(self, actual: object) -> bool:
        pairs = _pairs(actual, self._expected)
        return pairs is not None and all(self._is_near(*pair) for pair in pairs)

    def __repr__(self) -> str:
        return f"approx({self._expected!r})"

    def _is_near(self, actual: Any, expected: Any) -> bool:
        if isinstance(expected, bool) and not isinstance(actual, bool):
            return False
        if not all(isinstance(value, Number) for value in (actual, expected)):
            return bool(actual == expected)
        if actual == expected:
            return True
        if actual != actual or expected != expected:
            return self._nan_ok and actual != actual and expected != expected
        if isinstance(expected, float) and math.isinf(expected):
            return False
        relative, least = self._rel, self._abs
        if type(expected).__name__ in ("Decimal", "Fraction"):  # which do not mix with floats
            relative, least = (type(expected)(str(tolerance)) for tolerance in (relative, least))
        return bool(_size(expected - actual) <= max(relative * _size(expected), least))


_size = abs  # a parameter of `Approx` has that name


def _pairs(actual: Any, expected: Any) -> Iterable[tuple[Any, Any]] | None:
    """What is to be compared with what; None if there is no need to."""
    arrays = array_type() or ()
    if isinstance(actual, arrays):
        if isinstance(expected, Number):
            return [(item, expected) for item in actual.flat]
        if isinstance(expected, arrays):
            return zip(actual.flat, expected.flat, strict=True) if actual.shape == expected.shape else None
        actual = actual.tolist()
    elif isinstance(expected, arrays):
        expected = expected.tolist()
    if isinstance(expected, Mapping):
        is_like = isinstance(actual, Mapping) and actual.keys() == expected.keys()
        return [(actual[key], expected[key]) for key in expected] if is_like else None
    if isinstance(expected, list | tuple):
        is_like = isinstance(actual, list | tuple) and len(actual) == len(expected)
        return zip(actual, expected, strict=True) if is_like else None
    return [(actual, expected)]
