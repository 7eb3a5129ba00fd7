"""What the tester does with plain values, beside sending them: copy-restore and comparison, arrays of numpy included.

Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

from leafwise.runtime.inside_arrays import array_type
from leafwise.runtime.inside_kinds import KINDS

_MUTABLE = {id(kind) for kind in (list, dict, set, bytearray, deque)} | KINDS
_SCALARS = (bool, int, float, complex, str, bytes)


def is_mutable(value: object) -> bool:
    """Whether `restore` can give the value new content: a container or an array, and not of a class of one's own."""
    return id(type(value)) in _MUTABLE or type(value) is array_type()  # by id: a metaclass may define __eq__


def restore(old: Any, new: Any) -> bool:
    """Put the content of `new` into the mutable container `old`, keeping inner containers that match (copy-restore).

    Returns:
        Whether `old` now has the content of `new`; False when the two can't be matched in place.
    """
    if type(old) is not type(new) and not (type(new) is dict and id(type(old)) in KINDS):
        return False
    if isinstance(old, list):
        old[:] = [_kept(old[i], item) if i < len(old) else item for i, item in enumerate(new)]
    elif isinstance(old, dict):
        merged = {key: _kept(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(merged)
    elif isinstance(old, set):
        old.clear()
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif isinstance(old, deque):
        old.clear()
        old.extend(new)
    elif isinstance(old, tuple) and len(old) == len(new):
        return all(restore(a, b) or a is b or same(a, b) for a, b in zip(old, new, strict=True))
    else:
        return type(old) is array_type() and _refill(old, new)
    return True


def _kept(old: Any, new: Any) -> Any:
    return old if restore(old, new) else new


def _refill(old: Any, new: Any) -> bool:
    fits = old.shape == new.shape and sys.modules["numpy"].can_cast(new.dtype, old.dtype, "equiv")
    if fits and old.flags.writeable:
        old[...] = new
        return True
    return False


def same(value: object, expected: object) -> bool:
    """What `bool(value == expected)` is meant to say, also where arrays are among the two.

    Arrays are the same if they have one shape and all elements are equal, so NaN makes them differ; a scalar has the
    shape `()`, and nothing else is the same as an array, nor are the two broadcast. Lists, tuples and dicts are
    compared as `==` does, identity before equality included, but with this rule for the arrays in them. Anything else,
    what wants to compare itself with arrays included, is left to its own `==`, which may raise what it likes.
    """
    compares_itself = getattr(type(expected), "__array_ufunc__", True) is None  # as pytest's approx
    if array_type() is None or compares_itself:
        return bool(value == expected)
    if isinstance(value, array_type()) or isinstance(expected, array_type()):
        return _shape(value) == _shape(expected) and bool(sys.modules["numpy"].all(value == expected))
    left, right = type(value).__eq__, type(expected).__eq__
    if left is right and left in (list.__eq__, tuple.__eq__, dict.__eq__):
        return _same_inside(value, expected)
    equal: object = value == expected
    return not isinstance(equal, array_type()) and bool(equal)  # a scalar of numpy compares with each item of a list


def _shape(value: Any) -> tuple[int, ...] | None:
    # Never numpy.shape: it would ask a stand-in of the candidate for its __array__ and its __array_interface__.
    if isinstance(value, (array_type(), sys.modules["numpy"].generic)):
        return tuple(value.shape)
    return () if type(value) in _SCALARS else None


def _same_inside(value: Any, expected: Any) -> bool:
    if len(value) != len(expected):
        return False
    if not isinstance(value, dict):
        return all(a is b or same(a, b) for a, b in zip(value, expected, strict=True))
    return all(key in expected and (a is expected[key] or same(a, expected[key])) for key, a in value.items())
