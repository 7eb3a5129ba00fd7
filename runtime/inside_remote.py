"""The tester's way to the solver: requests, and what comes back as plain data, exceptions and stand-ins.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import builtins
import types
from _thread import RLock  # `threading` would cost every fork
from collections.abc import Callable, MutableMapping
from typing import Any
from weakref import WeakValueDictionary

from leafwise.runtime.inside_codec import MalformedError, Tree, UncrossableError
from leafwise.runtime.inside_errors import CandidateErrors, LoadError, origin_of, with_origin
from leafwise.runtime.inside_kinds import KindCodec
from leafwise.runtime.inside_standin import NotTriedError, Remote, answered, id_of
from leafwise.runtime.inside_values import is_mutable, restore
from leafwise.runtime.inside_wire import Link, LinkBrokenError

_NO_ANSWER = (MalformedError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
"""What reading an answer that is none may raise."""
_CANNOT_LEAK = (StopIteration, StopAsyncIteration, GeneratorExit)


class SolverLost(BaseException):
    """The solver died or broke the protocol; no check can pass from here on."""


class Solver:
    """Requests to the solver, one at a time.

    Args:
        link: the socket to it.
    """

    def __init__(self, link: Link) -> None:
        self.lost = ""
        self.describing = False
        self.known: MutableMapping[tuple[int, str, str], Remote] = WeakValueDictionary()
        self._link = link
        self._lock = RLock()
        self._functions: list[Callable[..., Any]] = []
        self._codec = KindCodec(self._refer, self._resolve)
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
            module = self._codec.decode(message["module"])
            self.known.clear()  # a name that the checks import is not the one that they are given
            return module, names
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
            return {"own": id_of(value)}
        if type(value) is slice:
            return {"slice": self._codec.each((value.start, value.stop, value.step), 3, 1)}
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
        return answered(self, int(payload["id"]), str(payload["type"]), str(payload.get("nature")))


def _mutable(value: object) -> object:
    if not is_mutable(value):
        raise MalformedError("not a container")
    return value
