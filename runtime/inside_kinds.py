"""Kinds of the library that stay what they are on their way between checks and candidate.

| value | crosses as `{"kind": [..]}` with |
|---|---|
| Counter, OrderedDict, defaultdict, of these very classes | the name, the factory if there is one, keys, values |
| named tuple | `record`, name, fields, values |
| member of an enumeration of integers or texts | `member`, name of the class, name, value, whether `str` is its value |

They are asked for more than the plain type among their bases: `most_common`, a missing key, `p.x`, `level.name`. What
arrives is made by this side, of the library's own classes, so it compares as they do; what comes back after it went out
is of the class that it had. Whatever does not fit is its plain value. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from enum import EnumMeta
from typing import Any

from leafwise.runtime.inside_codec import Codec, Encode, Tree, bases_of
from leafwise.runtime.inside_standin import Remote

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Counter, OrderedDict, defaultdict)}
KINDS = frozenset(map(id, _KINDS.values()))
"""The ids of the dictionary classes."""
_MOST_MADE = 1_000
"""Classes and members that are made for one program: they cost more than a value. Further ones are plain values."""
_MOST_FIELDS = 255
"""Fields of a named tuple: each is a parameter of a function that is made."""
_name_of = type.__dict__["__name__"].__get__  # a metaclass may define __name__ anew
_SHOWN = re.compile(rf"(?:{'|'.join(_KINDS)})\(|\w\((?:\w+=|\))|<\w+\.\w+: ")
"""What the `repr` of a value has if there may be such a kind in it."""


class _Member:
    """A number or a text that is a member of an enumeration on the other side."""

    __slots__ = ()


class KindCodec(Codec):
    """A codec that knows the kinds above."""

    _known: dict[tuple[Any, ...], Any] | None = None

    def _find(self, kind: type) -> Encode:
        if id(kind) not in self._found and (encode := _encoder(kind)) is not None:
            self._found[id(kind)] = kind, encode
        return super()._find(kind)

    def _tagged(self, tree: dict[str, Tree], depth: int) -> Any:
        return self._kind(*tree["kind"], depth=depth) if [*tree] == ["kind"] else super()._tagged(tree, depth)

    def _kind(self, name: str, *parts: Tree, depth: int) -> Any:
        if name == "record":
            title, fields, values = parts
            items = self.all(values, depth)
            if len(items) != len(fields):
                raise ValueError("not one value for each field")
            kind = self._remembered(_record, title, tuple(fields))
            return tuple(items) if kind is None else tuple.__new__(kind, items)
        if name == "member":
            member = self._remembered(_member, *parts)
            return self.all([parts[2]], depth)[0] if member is None else member
        factory, keys, values = (self.all(part, depth) for part in parts)
        if len(factory) != (name == "defaultdict") or not all(one is None or callable(one) for one in factory):
            raise TypeError("not a factory")
        made = _KINDS[name](*factory)
        if name == "OrderedDict" and any(map(_asks, keys)):
            made = {}
        for key, value in zip(keys, values, strict=True):
            made[key] = value
        return made

    def _remembered(self, make: Any, *parts: Any) -> Any:
        """What has these parts: that which went out or was made before, or a new one; None if that were too many."""
        known = self._known or {}
        key = _key(make, parts)
        if key not in known:
            if len(known) >= _MOST_MADE:
                return None
            made = make(*parts)
            self.remember(made, make, *parts)
            return made
        return known[key]

    def remember(self, value: Any, make: Any, *parts: Any) -> None:
        """For when it comes back: a class or a member that goes out, or is made."""
        if self._known is None:
            self._known = {}
        if len(self._known) < _MOST_MADE:
            self._known[_key(make, parts)] = value


def _key(make: Any, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return make, *((type(part), part) for part in parts)  # True is no 1


def _asks(key: Any) -> bool:
    """Whether a key leaves it to the candidate what it equals.

    Python's OrderedDict breaks its memory if that is not the same each time.
    """
    return isinstance(key, Remote) or (isinstance(key, tuple | frozenset) and any(map(_asks, key)))


def _encoder(kind: type) -> Encode | None:
    if id(kind) in KINDS:
        return _encode_dictionary
    if issubclass(kind, tuple):
        fields = next((vars(base)["_fields"] for base in bases_of(kind) if "_fields" in vars(base)), None)
        return _record_encoder(kind, fields) if type(fields) is tuple else None
    if issubclass(kind, _Member):  # it came from the other side
        return lambda codec, value, depth: {"kind": ["member", _name_of(kind), value.name, value.value, value.plain]}
    if issubclass(type(kind), EnumMeta) and issubclass(kind, int | str):
        return _member_encoder(kind, int.__pos__ if issubclass(kind, int) else str.__str__)
    return None


def _encode_dictionary(codec: Codec, value: Any, depth: int) -> Tree:
    factory = [value.default_factory] if type(value) is defaultdict else []
    parts = factory, [*value.keys()], [*value.values()]
    return {"kind": [type(value).__name__, *(codec.each(part, len(part), depth) for part in parts)]}


def _record_encoder(kind: type, fields: tuple[Any, ...]) -> Encode:
    name, fits = _name_of(kind), _are_fields(fields) and _are_names(_name_of(kind))

    def encode(codec: Any, value: Any, depth: int) -> Tree:
        values = codec.each(tuple.__iter__(value), tuple.__len__(value), depth)
        if not fits or len(values) != len(fields):
            return {"t": values}
        codec.remember(kind, _record, name, fields)
        return {"kind": ["record", name, [*fields], values]}

    return encode


def _member_encoder(kind: type, plain: Any) -> Encode:
    shows: Any = kind.__str__
    title, is_plain = _name_of(kind), shows in (int.__repr__, str.__str__)

    def encode(codec: Any, value: Any, depth: int) -> Tree:
        tree = codec.each((plain(value),), 1, depth)[0]
        if type(tree) not in (int, str) or not _are_names(title, value.name):
            return tree
        codec.remember(value, _member, title, value.name, tree, is_plain)
        return {"kind": ["member", title, value.name, tree, is_plain]}

    return encode


def _are_names(*names: Any) -> bool:
    return all(type(name) is str and name.isascii() and name.isidentifier() for name in names) and not any(
        map(keyword.iskeyword, names)
    )


def _are_fields(fields: tuple[Any, ...]) -> bool:
    """Whether `namedtuple` takes them: it makes code of them."""
    fits = len(fields) <= _MOST_FIELDS and _are_names(*fields) and len({*fields}) == len(fields)
    return fits and not any(name.startswith("_") for name in fields)


def _record(title: str, fields: tuple[str, ...]) -> Any:
    if not _are_names(title) or not _are_fields(fields):
        raise ValueError("no names")
    return namedtuple(title, fields)


def _member(title: str, name: str, value: Any, is_plain: bool) -> Any:
    if not _are_names(title, name) or type(value) not in (int, str) or type(is_plain) is not bool:
        raise ValueError("no member")
    content: dict[str, Any] = {"__repr__": lambda self: f"<{title}.{name}: {value!r}>"}
    content["__str__"] = lambda self: str(value) if is_plain else f"{title}.{name}"
    member: Any = type(title, (_Member, type(value)), content)(value)
    member.name, member.value, member.plain = name, value, is_plain
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
