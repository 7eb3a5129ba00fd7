"""Stand-ins for the candidate's functions, classes and objects, in the process that holds the checks.

A stand-in forwards calls, attributes, iteration and the like, because their results are plain data that the tester
then judges with its own operators. What it must not be is an answer that agrees with every test. So:

- It equals no plain data, is no number, and between it and plain data no comparison or membership has a value.
- Between two stand-ins the candidate's own operators decide, as in plain Python: whoever compares two of its objects
  asks it.
- Arithmetic with plain data gives no plain data, and an object that can only be compared with other objects.
- An object that the checks made themselves, by calling one of its classes by name, is no answer in place of plain data.
  Its order, arithmetic and membership may have plain operands and plain results (`Vector(1, 2) * 2`,
  `3 in Interval(1, 5)`), which are worth as much as those of a method. It equals no plain data all the same; only if
  its class is made of a plain type, as `class Stack(list)` is, its plain value is asked for and compared.

What the candidate raises counts everywhere. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from leafwise.runtime.inside_operators import COMPARISONS, OPERATORS, REFLECTED

_DESCRIBES_MEMORY = ("__array", "__cuda_array", "__dlpack", "__arrow", "_as_parameter_")
"""Attributes by which numpy and ctypes take an object's word for where its data lies in this process's memory."""
_ANSWER, _MAKER, _MADE, _DERIVED = "answer", "maker", "made", "derived"
"""What a stand-in is to the checks: whatever the candidate gave, a class that they name, an object that they made, what
came of an answer and plain data.
"""
_OF_ALL = frozenset(("equal", "unequal", "hash"))
"""What is asked of objects of every role."""
CLASS, VALUE, OBJECT = "class", "value", "object"
"""What the candidate says that it is: a class, an object with a plain value too, any other object."""


class NotTriedError(BaseException):
    """The candidate would judge itself; no exception that a check may ask for."""


class Asks(Protocol):
    """The way to the candidate's process."""

    describing: bool
    """Whether a value is being shown: the candidate's own words are then not asked for."""
    known: MutableMapping[tuple[int, str, str], Remote]
    """The stand-ins that are alive, by number, nature and role, so that `is` has a meaning for them."""

    def request(self, op: str, /, *args: object, **kwargs: object) -> Any:
        """Have an operation carried out and give its result."""


class Remote:
    """Stands for an object in the solver. Every attribute but those that Python gives a class is the object's own."""

    __slots__ = ("__described", "__role", "__solver", "__weakref__")

    def __init__(self, solver: Asks, number: int, kind: str, nature: str, role: str = _ANSWER) -> None:
        object.__setattr__(self, "_Remote__solver", solver)
        object.__setattr__(self, "_Remote__described", (number, kind, nature))
        object.__setattr__(self, "_Remote__role", role)

    def __ask(self, operation: str, /, *args: object, **kwargs: object) -> Any:
        if self.__role == _DERIVED and operation not in _OF_ALL:
            raise _not_tried(operation)
        return self.__solver.request(operation, *args, **kwargs)

    def __call__(self, /, *args: object, **kwargs: object) -> Any:
        """Call the candidate's function, class or object."""
        if self.__role != _MAKER:
            return self.__ask("call", self, *args, **kwargs)
        return _made(self.__ask("own call", self, *args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_DESCRIBES_MEMORY):
            raise AttributeError(name)
        value = self.__ask("get", self, name)
        return maker(value) if self.__role == _MAKER and means_class(name) else value  # a class inside the class

    def __setattr__(self, name: str, value: object) -> None:
        self.__ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        self.__ask("unset", self, name)

    def __len__(self) -> int:
        return int(self.__ask("len", self))

    def __bool__(self) -> bool:
        return self.__ask("bool", self) is True

    def __getitem__(self, key: object) -> Any:
        return self.__ask("item", self, key)

    def __setitem__(self, key: object, value: object) -> None:
        self.__ask("put", self, key, value)

    def __delitem__(self, key: object) -> None:
        self.__ask("drop", self, key)

    def __contains__(self, item: object) -> bool:
        if self.__role == _MADE:
            return self.__ask("holds", self, item) is True
        return any(item == own for own in self)

    def __iter__(self) -> Any:
        value = self.__ask("iter", self)
        return self if isinstance(value, Remote) and id_of(value) == id_of(self) else value

    def __next__(self) -> Any:
        return self.__ask("next", self)

    def __reversed__(self) -> Any:
        return self.__ask("reversed", self)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, Remote) and self.__ask("isinstance", instance, self) is True

    def __subclasscheck__(self, kind: object) -> bool:
        return isinstance(kind, Remote) and self.__ask("issubclass", kind, self) is True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Remote):
            return self.__ask("equal", self, other) is True
        if self.__role != _MADE or self.__described[2] != VALUE:
            return False
        value = self.__ask("value", self)
        return not isinstance(value, Remote) and bool(value == other)

    def __ne__(self, other: object) -> bool:
        if isinstance(other, Remote):
            return self.__ask("unequal", self, other) is True
        return not self == other

    def __hash__(self) -> int:
        value = self.__ask("hash", self)
        if type(value) is not int:
            raise TypeError("no hash")
        return value

    def __copy__(self) -> Any:
        copied = self.__ask("own copy", self)
        return _made(copied) if self.__role == _MADE else copied

    def __deepcopy__(self, memo: object) -> Any:
        copied = self.__ask("own deepcopy", self)
        return _made(copied) if self.__role == _MADE else copied

    def __enter__(self) -> Any:
        return self.__ask("enter", self)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """The candidate hears of an exception, and cannot end it: a check may have failed with it."""
        self.__ask("leave", self, kind.__name__ if kind is not None else None, str(error)[:1000])

    def __format__(self, form: str) -> str:
        return str(self.__ask("format", self, form)) if form else str(self)

    def __str__(self) -> str:
        return self.__shown("str")

    def __repr__(self) -> str:
        return self.__shown("repr")

    def __shown(self, operation: str) -> str:
        if self.__solver.describing:
            return f"<{self.__described[1]}: not plain data>"
        return str(self.__ask(operation, self))


def answered(solver: Asks, number: int, kind: str, nature: str) -> Remote:
    """The stand-in for an object that the candidate gave, as the solver describes it."""
    return _known(Remote(solver, number, kind, nature))


def id_of(remote: Remote) -> int:
    """The number by which the solver knows the object."""
    return int(_part(remote, "described")[0])


def maker(value: object) -> Any:
    """A class of the candidate that the checks name: the objects that a call of it gives are theirs. Others stay."""
    if not isinstance(value, Remote) or _part(value, "described")[2] != CLASS:
        return value
    return _as(value, _MAKER)


def means_class(name: str) -> bool:
    """Whether those who wrote the checks mean a class by a name: the candidate could put one in place of a function.

    Args:
        name: by which the checks know something.
    """
    return name.lstrip("_")[:1].isupper()


def is_maker(value: object) -> bool:
    """Whether a value is such a class."""
    return isinstance(value, Remote) and _part(value, "role") == _MAKER


def _made(value: Any) -> Any:
    """What the checks made, by a call of a class or by arithmetic with what they made."""
    if not isinstance(value, Remote) or _part(value, "role") == _MADE:
        return value
    return _known(_as(value, _MADE))


def _as(value: Remote, role: str) -> Remote:
    """Another stand-in for the same object: the first may be known elsewhere."""
    number, kind, nature = _part(value, "described")
    return Remote(_part(value, "solver"), number, kind, nature, role)


def _known(new: Remote) -> Remote:
    """The same one if it is known already."""
    solver, (number, _, nature) = _part(new, "solver"), _part(new, "described")
    known: Remote = solver.known.setdefault((number, nature, _part(new, "role")), new)
    return known


def _part(remote: Remote, name: str) -> Any:
    return object.__getattribute__(remote, f"_Remote__{name}")


def _not_tried(operation: str) -> NotTriedError:
    return NotTriedError(f"{operation} of an object of the program gives no value here: the program would judge itself")


def _forwarded(name: str, *, is_reflected: bool = False) -> Callable[..., Any]:
    def operate(self: Remote, /, *others: Any) -> Any:
        solver: Asks = _part(self, "solver")
        ours = (self, *(other for other in others if isinstance(other, Remote)))
        roles = {_part(one, "role") for one in ours}
        is_made = roles == {_MADE}
        operation = f"own {name}" if is_made else name
        value = solver.request(operation, *others, self) if is_reflected else solver.request(operation, self, *others)
        if is_made:
            return _made(value)
        if _DERIVED in roles or len(ours) <= len(others):  # the candidate was told what it might have to agree with
            if isinstance(value, Remote) and name not in COMPARISONS:
                return _as(value, _DERIVED)
        elif isinstance(value, bool if name in COMPARISONS else Remote) or name == "__abs__":
            return value  # `abs` is one answer about one object, like its length
        raise _not_tried(name)

    return operate


for _name in OPERATORS:
    setattr(Remote, _name, _forwarded(_name))
for _name in REFLECTED:
    setattr(Remote, f"__r{_name}__", _forwarded(f"__{_name}__", is_reflected=True))
