"""Plain data as JSON: the only thing that crosses between the solver and the tester.

None, booleans, short integers, finite floats, strings and lists are themselves; everything else is an object with one
tag, for example `{"t": [1, 2]}` for a tuple. Never pickle or marshal: decoding runs no code of the sender. Standard
library only, because this module also runs inside the sandbox.
"""

from __future__ import annotations

import builtins
import datetime
import math
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

Tree = Any
"""A JSON value."""

MAX_DEPTH = 200
MAX_TEXT = 4_000_000
"""Longest string or bytes, in characters."""
MUTABLE = (list, dict, set, bytearray, deque)
"""Types whose content `restore` can replace."""
MAX_NODES = 1_000_000
"""Most values inside one value, itself included: about a second of work for both sides."""
_SHORT = 1 << 62
_TYPES = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and not name.startswith("_") and value.__module__ == "builtins"
}
_TYPE_NAMES = {id(value): name for name, value in _TYPES.items() if value.__name__ == name}
_CLOCK: dict[str, Any] = {t.__name__: t for t in (datetime.datetime, datetime.date, datetime.time)}


class UncrossableError(Exception):
    """The value is not plain data (or is too deep or too long)."""


class MalformedError(Exception):
    """The tree does not describe a value."""


class Codec:
    """Turns values into JSON trees and back.

    Args:
        refer: gives the tree for a value that is not plain data; without it such a value raises `UncrossableError`.
        resolve: gives the value for a tag that is not plain data; without it such a tag raises `MalformedError`.
        max_nodes: values with more values inside do not cross.
    """

    def __init__(
        self,
        refer: Callable[[object], Tree] | None = None,
        resolve: Callable[[str, Tree], object] | None = None,
        max_nodes: int = MAX_NODES,
    ) -> None:
        self._max_nodes = self._nodes_left = max_nodes
        self.refer = refer
        self._resolve = resolve

    def encode(self, value: object, depth: int = 0) -> Tree:
        """The tree of a value. A value of a subclass of a plain type crosses as the plain type.

        Raises:
            UncrossableError: not plain data, too deep, too many values, or a text longer than `MAX_TEXT`.
        """
        if depth == 0:
            self._nodes_left = self._max_nodes
        self._nodes_left -= 1
        if depth > MAX_DEPTH or self._nodes_left < 0:
            raise UncrossableError("nested too deeply" if depth > MAX_DEPTH else "too many values")
        for plain, encode in _ENCODERS:
            if isinstance(value, plain):
                return encode(self, value, depth + 1)
        if value is Ellipsis or value is NotImplemented:
            return {"E": repr(value)}
        if self.refer is None:
            raise UncrossableError(type(value).__qualname__)
        return self.refer(value)

    def decode(self, tree: Tree, depth: int = 0) -> Any:
        """The value of a tree.

        Raises:
            MalformedError: the tree was not made by `encode`.
        """
        if depth > MAX_DEPTH + 5:
            raise MalformedError("nested too deeply")
        if isinstance(tree, list):
            return [self.decode(item, depth + 1) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if len(tree) != 1:
            raise MalformedError("one tag expected")
        ((tag, payload),) = tree.items()
        decode = _DECODERS.get(tag)
        try:
            if decode is not None:
                return decode(self, payload, depth + 1)
            if self._resolve is not None:
                return self._resolve(tag, payload)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise MalformedError(f"tag {tag}: {type(error).__name__}") from error
        raise MalformedError(f"unknown tag {tag!r}")

    def each(self, items: Any, depth: int) -> list[Tree]:
        """The trees of several values."""
        if hasattr(items, "__length_hint__") and items.__length_hint__() > self._nodes_left:
            raise UncrossableError("too many values")
        return [self.encode(item, depth) for item in items]

    def all(self, trees: Tree, depth: int) -> list[Any]:
        """The values of several trees."""
        if not isinstance(trees, list):
            raise MalformedError("a list expected")
        return [self.decode(tree, depth) for tree in trees]


# A subclass may override any method, so values are read through the plain type's own methods.


def _encode_int(codec: Codec, value: int, depth: int) -> Tree:
    plain = int.__pos__(value)
    return plain if -_SHORT < plain < _SHORT else {"i": hex(plain)}


def _encode_float(codec: Codec, value: float, depth: int) -> Tree:
    plain = float.__pos__(value)
    return plain if math.isfinite(plain) else {"n": repr(plain)}


def _encode_str(codec: Codec, value: str, depth: int) -> Tree:
    plain = str.__str__(value)
    if len(plain) > MAX_TEXT:
        raise UncrossableError(f"str of {len(plain)} characters")
    if plain.isascii():
        return plain
    try:
        plain.encode()
    except UnicodeEncodeError:  # two lone surrogates side by side would come back from JSON as one character
        return {"u": plain.encode("utf-32-le", "surrogatepass").hex()}
    return plain


def _encode_bytes(codec: Codec, value: Any, depth: int) -> Tree:
    tag, plain = ("b", bytes) if isinstance(value, bytes) else ("B", bytearray)
    if plain.__len__(value) > MAX_TEXT:
        raise UncrossableError(f"{tag} of {plain.__len__(value)} bytes")
    return {tag: plain.hex(value)}


def _encode_complex(codec: Codec, value: complex, depth: int) -> Tree:
    plain = complex.__pos__(value)
    return {"c": [_encode_float(codec, plain.real, depth), _encode_float(codec, plain.imag, depth)]}


def _encode_dict(codec: Codec, value: dict[Any, Any], depth: int) -> Tree:
    return {"d": [codec.each(pair, depth + 1) for pair in dict.items(value)]}


def _encode_clock(codec: Codec, value: Any, depth: int) -> Tree:
    for name, clock in _CLOCK.items():
        if isinstance(value, clock):
            return {"w": [name, clock.isoformat(value), getattr(value, "fold", 0)]}
    raise UncrossableError("clock")


def _encode_delta(codec: Codec, value: datetime.timedelta, depth: int) -> Tree:
    return {"l": [value.days, value.seconds, value.microseconds]}


def _encode_type(codec: Codec, value: type, depth: int) -> Tree:
    if id(value) in _TYPE_NAMES:  # a hostile metaclass may define __eq__ and __hash__
        return {"T": _TYPE_NAMES[id(value)]}
    if codec.refer is None:
        raise UncrossableError(value.__qualname__)
    return codec.refer(value)


_ENCODERS: tuple[tuple[Any, Callable[[Codec, Any, int], Tree]], ...] = (
    ((bool, type(None)), lambda codec, value, depth: value),
    (int, _encode_int),
    (float, _encode_float),
    (str, _encode_str),
    (list, lambda codec, value, depth: codec.each(list.__iter__(value), depth)),
    (tuple, lambda codec, value, depth: {"t": codec.each(tuple.__iter__(value), depth)}),
    (dict, _encode_dict),
    (set, lambda codec, value, depth: {"s": codec.each(set.__iter__(value), depth)}),
    (frozenset, lambda codec, value, depth: {"f": codec.each(frozenset.__iter__(value), depth)}),
    ((bytes, bytearray), _encode_bytes),
    (complex, _encode_complex),
    (range, lambda codec, value, depth: {"r": codec.each((value.start, value.stop, value.step), depth)}),
    (deque, lambda codec, value, depth: {"q": [codec.each(deque.__iter__(value), depth), value.maxlen]}),
    (Decimal, lambda codec, value, depth: {"D": Decimal.__str__(value)}),
    (Fraction, lambda codec, value, depth: {"F": codec.each((value.numerator, value.denominator), depth)}),
    (tuple(_CLOCK.values()), _encode_clock),
    (datetime.timedelta, _encode_delta),
    (type, _encode_type),
)


def _decode_dict(codec: Codec, payload: Tree, depth: int) -> dict[Any, Any]:
    return {key: value for key, value in (codec.all(pair, depth) for pair in payload)}


def _decode_clock(codec: Codec, payload: Tree, depth: int) -> Any:
    name, text, fold = payload
    value = _CLOCK[name].fromisoformat(text)
    return value.replace(fold=1) if fold else value


_DECODERS: dict[str, Callable[[Codec, Tree, int], Any]] = {
    "i": lambda codec, payload, depth: int(payload, 16),
    "n": lambda codec, payload, depth: float(payload),
    "u": lambda codec, payload, depth: bytes.fromhex(payload).decode("utf-32-le", "surrogatepass"),
    "t": lambda codec, payload, depth: tuple(codec.all(payload, depth)),
    "d": _decode_dict,
    "s": lambda codec, payload, depth: set(codec.all(payload, depth)),
    "f": lambda codec, payload, depth: frozenset(codec.all(payload, depth)),
    "b": lambda codec, payload, depth: bytes.fromhex(payload),
    "B": lambda codec, payload, depth: bytearray.fromhex(payload),
    "c": lambda codec, payload, depth: complex(*codec.all(payload, depth)),
    "r": lambda codec, payload, depth: range(*codec.all(payload, depth)),
    "q": lambda codec, payload, depth: deque(codec.all(payload[0], depth), payload[1]),
    "D": lambda codec, payload, depth: Decimal(payload),
    "F": lambda codec, payload, depth: Fraction(*codec.all(payload, depth)),
    "w": _decode_clock,
    "l": lambda codec, payload, depth: datetime.timedelta(*payload),
    "T": lambda codec, payload, depth: _TYPES[payload],
    "E": lambda codec, payload, depth: {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[payload],
}


def restore(old: Any, new: Any) -> bool:
    """Put the content of `new` into the mutable container `old`, keeping inner containers that match (copy-restore).

    Returns:
        Whether `old` now has the content of `new`; False when the two can't be matched in place.
    """
    if type(old) is not type(new):
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
        return all(restore(a, b) or a is b or a == b for a, b in zip(old, new, strict=True))
    else:
        return False
    return True


def _kept(old: Any, new: Any) -> Any:
    return old if restore(old, new) else new
