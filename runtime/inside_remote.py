"""The tester's view of the candidate: stand-ins for its functions, classes and objects.

A stand-in forwards calls, attributes, iteration and the like, because their results are plain data that the tester
then judges with its own operators. It equals no plain data, is no number, and between it and plain data no comparison,
arithmetic or membership test has a value: otherwise a candidate could answer with an object that agrees with every
test. Between two of its objects, arithmetic may give a third and a comparison a truth; and what the candidate raises
counts everywhere. Two stand-ins are equal if their states are, which the solver has to tell without knowing whether it
is to be equal. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import builtins
import types
from _thread import RLock  # `threading` would cost every fork
from collections.abc import Callable
from typing import Any

from leafwise.runtime.inside_codec import Codec, MalformedError, Tree, UncrossableError
from leafwise.runtime.inside_errors import CandidateErrors, LoadError, origin_of, with_origin
from leafwise.runtime.inside_kinds import kind_encoders
from leafwise.runtime.inside_operators import COMPARISONS, OPERATORS, REFLECTED
from leafwise.runtime.inside_values import is_mutable, restore
from leafwise.runtime.inside_wire import Link, LinkBrokenError

_DESCRIBES_MEMORY = ("__array", "__cuda_array", "__dlpack", "__arrow", "_as_parameter_")
"""Attributes by which numpy and ctypes take an object's word for where its data lies in this process's memory."""
_NO_ANSWER = (MalformedError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
"""What reading an answer that is none may raise."""
_CANNOT_LEAK = (StopIteration, StopAsyncIteration, GeneratorExit)


class SolverLost(BaseException):
    """The solver died or broke the protocol; no check can pass from here on."""


class NotTriedError(BaseException):
    """The candidate would judge itself; no exception that a check may ask for."""


class Solver:
    """Requests to the solver, one at a time.

    Args:
        link: the socket to it.
    """

    def __init__(self, link: Link) -> None:
        self.lost = ""
        self.describing = False
        self._link = link
        self._lock = RLock()
        self._functions: list[Callable[..., Any]] = []
        self._codec = Codec(self._refer, self._resolve, known=kind_encoders())
        self._errors = CandidateErrors()

    def load(self) -> tuple[Any, dict[str, Any]]:
        """Wait until the candidate is loaded.

        Returns:
            The stand-in for its module, and its top-level names.

        Raises:
            SolverLost: it did not get that far.
            BaseException: what the candidate raised while loading, wrapped in `LoadError`.
        """
        message = self._receive()
        try:
            if "error" in message:
                raise LoadError(self._errors.make(message["error"]))
            names = {str(name): self._codec.decode(tree) for name, tree in message["names"].items()}
            return self._codec.decode(message["module"]), names
        except _NO_ANSWER as error:
            raise self._lose(f"the program broke the protocol: {error!r}") from None

    def request(self, op: str, /, *args: object, **kwargs: object) -> Any:
        """Have the solver do something and give the result; mutable arguments get their new content.

        Raises:
            SolverLost: the solver is gone or answered with something that is no answer.
            BaseException: what the candidate raised, as a type of the same name.
        """
        with self._lock:
            if self.lost:
                raise SolverLost(self.lost)
            message: dict[str, Any] = {"op": op, "args": self._codec.encode([*args])}
            if kwargs:
                message["kwargs"] = {name: self._codec.encode(value) for name, value in kwargs.items()}
            reply = self._exchange(message)
            try:
                for key, tree in reply.get("changed", ()):
                    restore(kwargs[key] if isinstance(key, str) else args[key], self._codec.decode(tree))
                if "same" in reply:
                    return _mutable(kwargs[reply["same"]] if isinstance(reply["same"], str) else args[reply["same"]])
                if "error" not in reply:
                    return self._codec.decode(reply["value"])
                error = self._errors.make(reply["error"])
            except _NO_ANSWER as broken:
                raise self._lose(f"the program broke the protocol: {broken!r}") from None
        if isinstance(error, _CANNOT_LEAK) and op != "next":  # it would silently end a loop of the tests
            error = with_origin(RuntimeError(f"the program raised {type(error).__name__}"), *origin_of(error))
        raise error

    def _exchange(self, message: Tree) -> Any:
        try:
            self._link.send(message)
            while "callback" in (reply := self._receive()):
                self._link.send(self._called_back(reply))
        except LinkBrokenError as error:
            raise self._lose(f"the program is gone ({error})") from None
        return reply

    def _receive(self) -> Any:
        try:
            message = self._link.receive()
        except LinkBrokenError as error:
            raise self._lose(f"the program is gone ({error})") from None
        if not isinstance(message, dict):
            raise self._lose("the program broke the protocol")
        return message

    def _lose(self, why: str) -> SolverLost:
        self.lost = self.lost or why
        return SolverLost(why)

    def _called_back(self, message: Tree) -> Tree:
        try:
            function = self._functions[message["callback"]]
            args = [self._codec.decode(tree) for tree in message["args"]]
            kwargs = {str(name): self._codec.decode(tree) for name, tree in message["kwargs"].items()}
            return {"value": self._codec.encode(function(*args, **kwargs))}
        except (Exception, NotTriedError) as error:  # the tests' own function raised: the candidate gets to see that
            return {"error": type(error).__name__, "text": str(error)[:1000]}

    def _refer(self, value: object) -> Tree:
        """The tree of an argument that is not plain data: one of the candidate's own objects, or a function."""
        if isinstance(value, Remote):
            return {"own": _id_of(value)}
        name = getattr(value, "__name__", "")
        if isinstance(value, types.BuiltinFunctionType) and vars(builtins).get(name) is value:
            return {"builtin": name}
        if callable(value):
            self._functions.append(value)
            return {"cb": len(self._functions) - 1}
        raise UncrossableError(f"an argument of type {type(value).__qualname__} is not plain data")

    def _resolve(self, tag: str, payload: Tree) -> object:
        if tag == "cb":
            return self._functions[payload]
        if tag == "own" or tag != "ref":
            raise LookupError(tag)
        if payload.get("chain"):
            return self._errors.class_of(payload["chain"])
        return Remote(self, int(payload["id"]), str(payload["type"]))


def _mutable(value: object) -> object:
    if not is_mutable(value):
        raise MalformedError("not a container")
    return value


class Remote:
    """Stands for an object in the solver. Every attribute but those that Python gives a class is the object's own."""

    __slots__ = ("__id", "__solver", "__type")

    def __init__(self, solver: Solver, number: int, kind: str) -> None:
        object.__setattr__(self, "_Remote__solver", solver)
        object.__setattr__(self, "_Remote__id", number)
        object.__setattr__(self, "_Remote__type", kind)

    def __call__(self, /, *args: object, **kwargs: object) -> Any:
        """Call the candidate's function, class or object."""
        return self.__solver.request("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_DESCRIBES_MEMORY):
            raise AttributeError(name)
        return self.__solver.request("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self.__solver.request("set", self, name, value)

    def __len__(self) -> int:
        return int(self.__solver.request("len", self))

    def __bool__(self) -> bool:
        return self.__solver.request("bool", self) is True

    def __getitem__(self, key: object) -> Any:
        return self.__solver.request("item", self, key)

    def __setitem__(self, key: object, value: object) -> None:
        self.__solver.request("put", self, key, value)

    def __delitem__(self, key: object) -> None:
        self.__solver.request("drop", self, key)

    def __contains__(self, item: object) -> bool:
        return any(item == own for own in self)

    def __iter__(self) -> Any:
        return self.__solver.request("iter", self)

    def __next__(self) -> Any:
        return self.__solver.request("next", self)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, Remote) and self.__solver.request("isinstance", instance, self) is True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        mine, its = (self.__solver.request("state", remote) for remote in (self, other))
        return isinstance(mine, tuple) and mine == its

    __hash__ = object.__hash__

    def __enter__(self) -> Any:
        return self.__solver.request("enter", self)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """The candidate hears of an exception, and cannot end it: a check may have failed with it."""
        self.__solver.request("leave", self, kind.__name__ if kind is not None else None, str(error)[:1000])

    def __str__(self) -> str:
        return _name_of(self) if self.__solver.describing else str(self.__solver.request("str", self))

    def __repr__(self) -> str:
        return _name_of(self) if self.__solver.describing else str(self.__solver.request("repr", self))


def _forwarded(name: str, *, is_reflected: bool = False) -> Callable[..., Any]:
    def operate(self: Remote, /, *others: Any) -> Any:
        solver: Solver = object.__getattribute__(self, "_Remote__solver")
        value = solver.request(name, *others, self) if is_reflected else solver.request(name, self, *others)
        if name == "__abs__":  # one answer about one object, like its length
            return value
        kind = bool if name in COMPARISONS else Remote
        if isinstance(value, kind) and all(isinstance(other, Remote) for other in others):
            return value
        raise NotTriedError(f"{name} of an object of the program gives no value here: the program would judge itself")

    return operate


for _name in OPERATORS:
    setattr(Remote, _name, _forwarded(_name))
for _name in REFLECTED:
    setattr(Remote, f"__r{_name}__", _forwarded(f"__{_name}__", is_reflected=True))


def _id_of(remote: Remote) -> int:
    return int(object.__getattribute__(remote, "_Remote__id"))


def _name_of(remote: Remote) -> str:
    return f"<{object.__getattribute__(remote, '_Remote__type')}: not plain data>"
