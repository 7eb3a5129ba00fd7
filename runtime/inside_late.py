"""Plain types of modules that may not be loaded, for the value codec: times, decimals, fractions, paths, arrays.

The process that forks for every program must not pay for them. A value of such a type only exists where its module is
loaded, so encoding looks there and nowhere else; decoding imports a module of the standard library when a tree asks for
it. Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leafwise.runtime.inside_arrays import (
    array_encoder,
    decode_array,
    decode_scalar,
    scalar_encoder,
    text_encoder,
)

if TYPE_CHECKING:
    from leafwise.runtime.inside_codec import Codec, Encode, Tree

_PATHS = ("PosixPath", "PurePosixPath", "PureWindowsPath")
_MAX_FRACTION = 1 << 16
"""Most bits of the shorter half of a fraction: making one takes time that grows with their square."""


def late_encoders() -> dict[int, Encode]:
    """How values of the types that are loaded now are encoded, by the id of the type."""
    types = ((getattr(sys.modules.get(module), name, None), make) for module, name, make in _LATE)
    return {id(plain): make(plain) for plain, make in types if plain is not None}


# Each takes the plain type and gives how its values, and those of subclasses, are encoded.


def _clock_encoder(clock: Any) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        fold = clock.fold.__get__(value) if hasattr(clock, "fold") else 0
        return {"w": [clock.__name__, clock.isoformat(value), fold]}

    return encode


def _delta_encoder(delta: Any) -> Encode:
    parts = (delta.days, delta.seconds, delta.microseconds)
    return lambda codec, value, depth: {"l": [part.__get__(value) for part in parts]}


def _decimal_encoder(decimal: Any) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        text = decimal.__str__(value)
        codec.limit(len(text), "Decimal")
        return {"D": text}

    return encode


def _fraction_encoder(fraction: Any) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        halves = (half.__get__(value) for half in (fraction._numerator, fraction._denominator))
        return {"F": codec.each(_halves(*halves), 2, depth)}

    return encode


def _ordered_encoder(ordered: Any) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        keys = list(ordered.__iter__(value))  # dict.keys would not know of move_to_end
        halves = keys, [dict.__getitem__(value, key) for key in keys]
        return {"d": [codec.each(half, len(keys), depth) for half in halves]}

    return encode


def _path_encoder(path: Any) -> Encode:
    return lambda codec, value, depth: {"p": [path.__name__, codec.each((path.__str__(value),), 1, depth)]}


def _halves(numerator: int, denominator: int) -> tuple[int, int]:
    if min(int.bit_length(numerator), int.bit_length(denominator)) > _MAX_FRACTION:
        raise OverflowError("a fraction of too many digits")
    return numerator, denominator


_LATE: tuple[tuple[str, str, Callable[[Any], Encode]], ...] = (
    ("collections", "OrderedDict", _ordered_encoder),
    ("datetime", "datetime", _clock_encoder),
    ("datetime", "date", _clock_encoder),
    ("datetime", "time", _clock_encoder),
    ("datetime", "timedelta", _delta_encoder),
    ("decimal", "Decimal", _decimal_encoder),
    ("fractions", "Fraction", _fraction_encoder),
    *(("pathlib", name, _path_encoder) for name in _PATHS),
    ("numpy", "ndarray", array_encoder),
    ("numpy", "generic", scalar_encoder),
    ("numpy", "str_", text_encoder),
    ("numpy", "bytes_", text_encoder),
    ("numpy.ma", "MaskedArray", lambda masked: lambda codec, value, depth: codec.refer(value)),
)


def _decode_clock(codec: Codec, payload: Tree, depth: int) -> Any:
    import datetime

    name, text, fold = payload
    clocks: dict[str, Any] = {"datetime": datetime.datetime, "date": datetime.date, "time": datetime.time}
    value = clocks[name].fromisoformat(text)
    return value.replace(fold=1) if fold else value


def _decode_delta(codec: Codec, payload: Tree, depth: int) -> Any:
    import datetime

    return datetime.timedelta(*payload)


def _decode_decimal(codec: Codec, payload: Tree, depth: int) -> Any:
    import decimal

    return decimal.Decimal(payload)


def _decode_fraction(codec: Codec, payload: Tree, depth: int) -> Any:
    import fractions

    return fractions.Fraction(*_halves(*codec.numbers(payload, depth)))


def _decode_path(codec: Codec, payload: Tree, depth: int) -> Any:
    import pathlib

    name, text = payload
    return {known: getattr(pathlib, known) for known in _PATHS}[name](*map(_text, codec.all(text, depth)))


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("text expected")
    return value


LATE_DECODERS: dict[str, Callable[[Codec, Tree, int], Any]] = {
    "w": _decode_clock,
    "l": _decode_delta,
    "D": _decode_decimal,
    "F": _decode_fraction,
    "p": _decode_path,
    "a": decode_array,
    "g": decode_scalar,
}
