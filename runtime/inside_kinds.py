"""Kinds of the library that stay what they are on their way between checks and candidate.

| value | crosses as `{"kind": [..]}` with |
|---|---|
| Counter, OrderedDict, defaultdict, of these very classes | the name, the factory if there is one, keys, values |
| named tuple | `record`, name, fields, values |
| member of an enumeration of integers or texts | `member`, name of the class, name, value |

They are asked for more than the plain type among their bases: `most_common`, a missing key, `p.x`, `level.name`. What
arrives is made by this side, of the library's own classes, so it compares as they do. Runs inside the sandbox, standard
library only.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from enum import EnumMeta
from typing import Any

from leafwise.runtime.inside_codec import Codec, Encode, Tree, bases_of

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Counter, OrderedDict, defaultdict)}
KINDS = frozenset(map(id, _KINDS.values()))
"""The ids of the dictionary classes."""
_MOST_MADE = 1_000
"""Classes and members that are made for one program: they cost more than a value."""
_name_of = type.__dict__["__name__"].__get__  # a metaclass may define __name__ anew
_SHOWN = re.compile(rf"(?:{'|'.join(_KINDS)})\(|\w\((?:\w+=|\))|<\w+\.\w+: ")
"""What the `repr` of a value has if there may be such a kind in it."""


class _Member:
    """A number or a text that is a member of an enumeration on the other side."""

    __slots__ = ()


class KindCodec(Codec):
    """A codec that knows the kinds above."""

    _made: dict[tuple[Any, ...], Any] | None = None

    def _find(self, kind: type) -> Encode:
        if id(kind) not in self._found and (encode := _encoder(kind)) is not None:
            self._found[id(kind)] = kind, encode
        return super()._find(kind)

    def _tagged(self, tree: dict[str, Tree], depth: int) -> Any:
        return self._kind(*tree["kind"], depth=depth) if [*tree] == ["kind"] else super()._tagged(tree, depth)

    def _kind(self, name: str, *parts: Tree, depth: int) -> Any:
        if name == "record":
            title, fields, values = parts
            return self._remember(_record, title, tuple(fields))._make(self.all(values, depth))
        if name == "member":
            return self._remember(_member, *parts)
        factory, keys, values = (self.all(part, depth) for part in parts)
        if len(factory) != (name == "defaultdict") or not all(one is None or callable(one) for one in factory):
            raise TypeError("not a factory")
        made = _KINDS[name](*factory)
        for key, value in zip(keys, values, strict=True):
            made[key] = value
        return made

    def _remember(self, make: Any, *parts: Any) -> Any:
        if self._made is None:
            self._made = {}
        key = (make, *((type(part), part) for part in parts))  # True is no 1
        if key not in self._made:
            if len(self._made) >= _MOST_MADE:
                raise LookupError("too many kinds")
            self._made[key] = make(*parts)
        return self._made[key]


def _encoder(kind: type) -> Encode | None:
    if id(kind) in KINDS:
        return _encode_dictionary
    if issubclass(kind, tuple):
        fields = next((vars(base)["_fields"] for base in bases_of(kind) if "_fields" in vars(base)), None)
        return _record_encoder(_name_of(kind), fields) if type(fields) is tuple else None
    if issubclass(kind, _Member):  # it came from the other side
        return lambda codec, value, depth: {"kind": ["member", _name_of(kind), value.name, value.value]}
    if issubclass(type(kind), EnumMeta) and issubclass(kind, int | str):
        return _member_encoder(_name_of(kind), int.__pos__ if issubclass(kind, int) else str.__str__)
    return None


def _encode_dictionary(codec: Codec, value: Any, depth: int) -> Tree:
    factory = [value.default_factory] if type(value) is defaultdict else []
    parts = factory, [*value.keys()], [*value.values()]
    return {"kind": [type(value).__name__, *(codec.each(part, len(part), depth) for part in parts)]}


def _record_encoder(name: str, fields: tuple[Any, ...]) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        values = codec.each(tuple.__iter__(value), tuple.__len__(value), depth)
        fits = _are_names(name, *fields) and len(values) == len(fields)
        return {"kind": ["record", name, [*fields], values]} if fits else {"t": values}

    return encode


def _member_encoder(title: str, plain: Any) -> Encode:
    def encode(codec: Codec, value: Any, depth: int) -> Tree:
        tree = codec.each((plain(value),), 1, depth)[0]
        is_member = type(tree) in (int, str) and _are_names(title, value.name)
        return {"kind": ["member", title, value.name, tree]} if is_member else tree

    return encode


def _are_names(*names: Any) -> bool:
    return all(type(name) is str and name.isascii() and name.isidentifier() for name in names)


def _record(title: str, fields: tuple[str, ...]) -> Any:
    if not _are_names(title, *fields):  # namedtuple makes code of them, and refuses the rest of what it must
        raise ValueError("no names")
    return namedtuple(title, fields)


def _member(title: str, name: str, value: Any) -> Any:
    if not _are_names(title, name) or type(value) not in (int, str):
        raise ValueError("no member")
    member: Any = type(title, (_Member, type(value)), {"__repr__": lambda self: f"<{title}.{name}: {value!r}>"})(value)
    member.name, member.value = name, value
    return member


def shown_plainly(value: Any) -> str:
    """The `repr` of a value with plain dictionaries, tuples, integers and texts in place of the kinds above.

    So results are shown and compared alike, whichever kind a candidate has chosen.
    """
    text = repr(value)
    return repr(_plain(value)) if _SHOWN.search(text) else text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if type(value) in (list, set, frozenset):
        return type(value)(map(_plain, value))
    if type(value) is deque:
        return deque(map(_plain, value), value.maxlen)
    return value.value if isinstance(value, _Member) else value  # type: ignore[attr-defined]
