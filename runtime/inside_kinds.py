"""Dictionaries of the library that stay what they are on the way to the candidate, which may ask more of an argument.

What comes back from it is a plain dictionary: so results are compared and shown alike, whichever kind it chose. Runs
inside the sandbox, standard library only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leafwise.runtime.inside_codec import Codec, Encode, Tree

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Counter, OrderedDict, defaultdict)}
KINDS = frozenset(map(id, _KINDS.values()))
"""The ids of the classes."""


def kind_encoders() -> dict[int, tuple[type, Encode]]:
    """How the tester encodes them: class, factory if it has one, keys and values."""
    return {id(kind): (kind, _encode) for kind in _KINDS.values()}


def _encode(codec: Codec, value: Any, depth: int) -> Tree:
    factory = [value.default_factory] if type(value) is defaultdict else []
    parts = factory, list(value), [dict.__getitem__(value, key) for key in value]
    return {"kind": [type(value).__name__, *(codec.each(part, len(part), depth) for part in parts)]}


def decode_kind(codec: Codec, payload: Tree) -> Any:
    """The dictionary that the tester means; for the solver alone."""
    name, *parts = payload
    factory, keys, values = (codec.all(part, 1) for part in parts)
    made = _KINDS[name](*factory)
    for key, value in zip(keys, values, strict=True):
        made[key] = value
    return made
