"""Plain data as JSON: the only thing that crosses between the solver and the tester.

| value | crosses as |
|---|---|
| None, bool, int below 2**62, finite float, str, list | itself |
| longer int, NaN and infinities, str with lone surrogates | `{"i": hex}`, `{"n": repr}`, `{"u": hex}` |
| tuple, set, frozenset, dict, deque | `{"t": [..]}`, `s`, `f`, `{"d": [keys, values]}`, `{"q": [items, maxlen]}` |
| bytes, bytearray, complex, range, Decimal, Fraction | `b`, `B`, `c`, `r`, `D`, `F` |
| date, time, datetime (a time zone as its offset), timedelta | `w`, `l` |
| paths of the file system | `p` |
| builtin types by name, Ellipsis and NotImplemented | `T`, `E` |
| arrays and scalars of numpy, see `inside_arrays` | `a`, `g` |

Order, keys of any kind and signs of zero are kept; that two places hold the same object is not. A value of a subclass
crosses as the first plain type among its bases, read through that type's own methods, since the subclass may override
any; `inside_kinds` has the exceptions. Everything else (functions, objects, files, a value beyond the
caps below) is no plain data: `refer` gives its tree, or it raises `UncrossableError`; of a tree only the side that
wrote `refer` knows what it stands for, `resolve`.

Never pickle or marshal: decoding runs no code of the sender, and what `encode` could not have made is a
`MalformedError`. A sender can still choose keys whose hashes collide, so time is for the clock outside to limit. Runs
inside the sandbox: standard library only, and no module that few programs need.
"""

from __future__ import annotations

import builtins
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from leafwise.runtime.inside_late import LATE_DECODERS, late_encoders

Tree = Any
"""A JSON value."""

MAX_DEPTH = 200
MAX_TEXT = 8_000_000
"""Longest string in characters, bytes and array in bytes, integer in hexadecimal digits."""
MAX_NODES = 1 << 20
"""Most values inside one value, itself and elements of arrays included: about a second of work for both sides."""
_LOWEST, _HIGHEST = -(1 << 62), 1 << 62
_LEAST, _MOST = float("-inf"), float("inf")
_NESTED = {list, dict}
_TYPES = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and not name.startswith("_") and value.__module__ == "builtins"
}
_TYPE_NAMES = {id(value): name for name, value in _TYPES.items() if value.__name__ == name}
bases_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__  # a metaclass may define __mro__ anew


class UncrossableError(Exception):
    """The value is not plain data (or is too deep, too long or has too many values)."""


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
        self._refer, self._resolve = refer, resolve
        self._max_nodes = self._nodes_left = max_nodes
        self._found: dict[int, tuple[type, Encode]] = {}

    def encode(self, value: object) -> Tree:
        """The tree of a value.

        Raises:
            UncrossableError: not plain data, or beyond a cap.
        """
        self._nodes_left = self._max_nodes
        try:
            return self.each((value,), 1, 0)[0]
        except (OverflowError, RecursionError) as error:
            raise UncrossableError(str(error)) from None

    def decode(self, tree: Tree) -> Any:
        """The value of a tree.

        Raises:
            MalformedError: the tree was not made by `encode`.
        """
        if type(tree) not in _NESTED:
            return tree
        before, self._nodes_left = self._nodes_left, self._max_nodes - 1
        try:
            return self.all(tree, 1) if type(tree) is list else self._tagged(tree, 1)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise MalformedError(f"{type(error).__name__}: {error}"[:200]) from error
        finally:  # a set may have asked one of its items for a hash, and so have decoded another value
            self._nodes_left = before

    # The rest is for the encoders and decoders. What is beyond a cap is an OverflowError among them.

    def spend(self, nodes: int) -> None:
        """Count the elements of an array as values."""
        self._nodes_left -= nodes
        if self._nodes_left < 0:
            raise OverflowError("too many values")

    def limit(self, length: int, what: str) -> None:
        """Hold a length against `MAX_TEXT`."""
        if length > MAX_TEXT:
            raise OverflowError(f"{what} of length {length}")

    def refer(self, value: object, depth: int = 0) -> Tree:
        """The tree of a value that is not plain data."""
        if self._refer is None:
            raise UncrossableError(type.__repr__(type(value)))
        return self._refer(value)

    def each(self, items: Iterable[Any], count: int, depth: int) -> list[Tree]:
        """The trees of `count` values."""
        self._nodes_left -= count
        if self._nodes_left < 0 or depth > MAX_DEPTH:
            raise OverflowError("too many values, or nested too deeply")
        trees: list[Tree] = []
        for item in items:
            kind = type(item)
            if (
                (kind is int and _LOWEST < item < _HIGHEST)
                or (kind is str and item.isascii() and len(item) <= MAX_TEXT)
                or (kind is float and _LEAST < item < _MOST)
                or kind is bool
                or item is None
            ):
                trees.append(item)
            else:
                encode = _ENCODERS.get(id(kind)) or self._find(kind)
                trees.append(encode(self, item, depth + 1))
        return trees

    def _find(self, kind: type) -> Encode:
        if id(kind) not in self._found:  # the class is kept as well, for its id to stay its own
            self._found[id(kind)] = kind, _encoder_of(kind)
        return self._found[id(kind)][1]

    def all(self, trees: Tree, depth: int) -> list[Any]:
        """The values of several trees."""
        if type(trees) is not list:
            raise TypeError("a list expected")
        self._nodes_left -= len(trees)
        if self._nodes_left < 0 or depth > MAX_DEPTH:
            raise OverflowError("too many values, or nested too deeply")
        values = trees[:]
        if _NESTED.isdisjoint(map(type, trees)):
            return values
        for place, tree in enumerate(trees):
            kind = type(tree)
            if kind is list:
                values[place] = self.all(tree, depth + 1)
            elif kind is dict:
                values[place] = self._tagged(tree, depth + 1)
        return values

    def _tagged(self, tree: dict[str, Tree], depth: int) -> Any:
        ((tag, payload),) = tree.items()
        decode = _DECODERS.get(tag)
        if decode is not None:
            return decode(self, payload, depth)
        if self._resolve is None:
            raise LookupError(f"unknown tag {tag!r}")
        return self._resolve(tag, payload)

    def numbers(self, trees: Tree, depth: int) -> list[Any]:
        """The values of several trees, which have to be numbers: a constructor may ask an object for its parts."""
        values = self.all(trees, depth)
        if not all(type(value) in (int, float) for value in values):
            raise MalformedError("numbers expected")
        return values


Encode = Callable[[Codec, Any, int], Tree]


def _encode_int(codec: Codec, value: int, depth: int) -> Tree:
    plain = int.__pos__(value)
    codec.limit(plain.bit_length() // 4, "int")
    return plain if _LOWEST < plain < _HIGHEST else {"i": hex(plain)}  # never decimal: Python limits the digits


def _encode_float(codec: Codec, value: float, depth: int) -> Tree:
    plain = float.__pos__(value)
    return plain if _LEAST < plain < _MOST else {"n": repr(plain)}


def _encode_str(codec: Codec, value: str, depth: int) -> Tree:
    plain = str.__str__(value)
    codec.limit(len(plain), "str")
    try:
        plain.encode()
    except UnicodeEncodeError:  # two lone surrogates side by side would come back from JSON as one character
        return {"u": plain.encode("utf-32-le", "surrogatepass").hex()}
    return plain


def _encode_dict(codec: Codec, value: Any, depth: int) -> Tree:
    count = dict.__len__(value)
    return {"d": [codec.each(half(value), count, depth) for half in (dict.keys, dict.values)]}


def _encode_complex(codec: Codec, value: complex, depth: int) -> Tree:
    plain = complex.__pos__(value)
    return {"c": codec.each((plain.real, plain.imag), 2, depth)}


def _encode_deque(codec: Codec, value: Any, depth: int) -> Tree:
    maxlen = deque.maxlen.__get__(value)
    return {"q": [codec.each(deque.__iter__(value), deque.__len__(value), depth), maxlen]}


def _encode_type(codec: Codec, value: type, depth: int) -> Tree:
    name = _TYPE_NAMES.get(id(value))  # a hostile metaclass may define __eq__ and __hash__
    return codec.refer(value) if name is None else {"T": name}


def _items_encoder(plain: Any, tag: str) -> Encode:
    return lambda codec, value, depth: {tag: codec.each(plain.__iter__(value), plain.__len__(value), depth)}


def _bytes_encoder(plain: Any, tag: str) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        codec.limit(plain.__len__(value), plain.__name__)
        return {tag: plain.hex(value)}

    return encode


_ENCODERS: dict[int, Encode] = {
    id(int): _encode_int,
    id(float): _encode_float,
    id(str): _encode_str,
    id(list): lambda codec, value, depth: codec.each(list.__iter__(value), list.__len__(value), depth),
    id(tuple): _items_encoder(tuple, "t"),
    id(dict): _encode_dict,
    id(set): _items_encoder(set, "s"),
    id(frozenset): _items_encoder(frozenset, "f"),
    id(bytes): _bytes_encoder(bytes, "b"),
    id(bytearray): _bytes_encoder(bytearray, "B"),
    id(complex): _encode_complex,
    id(range): lambda codec, value, depth: {"r": codec.each((value.start, value.stop, value.step), 3, depth)},
    id(deque): _encode_deque,
    id(type): _encode_type,
    id(type(Ellipsis)): lambda codec, value, depth: {"E": "Ellipsis"},
    id(type(NotImplemented)): lambda codec, value, depth: {"E": "NotImplemented"},
}


_COMMON = frozenset(map(id, (types.FunctionType, types.BuiltinFunctionType)))  # most of what module names stand for


def _encoder_of(kind: type) -> Encode:
    """How the values of a class cross: as those of the first of its bases that are plain data."""
    if id(kind) in _COMMON:
        return Codec.refer
    known = _ENCODERS | late_encoders()
    return next((known[id(base)] for base in bases_of(kind) if id(base) in known), Codec.refer)


def _decode_dict(codec: Codec, payload: Tree, depth: int) -> dict[Any, Any]:
    keys, values = payload
    return dict(zip(codec.all(keys, depth), codec.all(values, depth), strict=True))


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
    "c": lambda codec, payload, depth: complex(*codec.numbers(payload, depth)),
    "r": lambda codec, payload, depth: range(*codec.numbers(payload, depth)),
    "q": lambda codec, payload, depth: deque(codec.all(payload[0], depth), payload[1]),
    "T": lambda codec, payload, depth: _TYPES[payload],
    "E": lambda codec, payload, depth: {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[payload],
    **LATE_DECODERS,
}
