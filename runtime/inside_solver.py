"""The process that holds the candidate: loads it and answers the tester's calls with plain data.

Nothing here can be trusted once the candidate runs: it may rewrite this module. So it holds no test, no verdict and no
channel but the one to the tester, who checks everything that arrives there. Runs inside the sandbox, standard library
only.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import gc
import io
import linecache
import operator
import os
import socket
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from leafwise.runtime.inside_codec import Codec, Tree, UncrossableError
from leafwise.runtime.inside_kinds import KindCodec
from leafwise.runtime.inside_operators import OPERATORS, enter, leave
from leafwise.runtime.inside_standin import CLASS, OBJECT, VALUE
from leafwise.runtime.inside_timer import CallTimer, OutOfTimeError
from leafwise.runtime.inside_trace import Tracer
from leafwise.runtime.inside_values import is_mutable
from leafwise.runtime.inside_wire import Link

FILENAME = "solution.py"
_OWN = "own "
"""Before an operation whose result is wanted as an object, see `_Solver._own`."""
_NO_CONTAINER = frozenset(("own", "cb", "builtin", "slice"))
"""Tags of arguments that have no content to send back."""
_MAX_CONSTANT = 10_000
"""Values in a module constant that is sent along with the names; a larger one is sent when it is asked for."""
_TOO_LONG = {"error": {"chain": [["builtins", "OverflowError"]], "text": "the result is too long", "args": None}}
_MAX_FIELDS = 20
"""Attributes of an exception that are sent along with it."""
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, /, *args, **kwargs: function(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "unset": delattr,
    "len": len,
    "item": operator.getitem,
    "put": operator.setitem,
    "drop": operator.delitem,
    "iter": iter,
    "next": next,
    "reversed": reversed,
    "holds": operator.contains,
    "str": str,
    "repr": repr,
    "format": format,
    "bool": bool,
    "hash": hash,
    "equal": lambda one, other: bool(one == other),
    "unequal": lambda one, other: bool(one != other),
    "isinstance": isinstance,
    "issubclass": issubclass,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "value": lambda value: value,
    "enter": enter,
    "leave": leave,
    **OPERATORS,
}


class _Solver:
    def __init__(self, link: Link, tracer: Tracer | None = None) -> None:
        self._link = link
        self._tracer = tracer
        self._timer = CallTimer()
        self._objects: list[object] = []
        self._numbers: dict[int, int] = {}
        self._codec = KindCodec(self._refer, self._resolve)
        self._constants = KindCodec(self._refer, self._resolve, _MAX_CONSTANT)

    def load(self, source: str) -> Tree:
        """Run the candidate's module; the answer describes its top-level names."""
        module = types.ModuleType("solution")
        module.__file__ = FILENAME
        sys.modules["solution"] = module
        linecache.cache[FILENAME] = (lambda: source,)  # split into lines if a traceback asks for them
        try:
            exec(compile(source, FILENAME, "exec", dont_inherit=True), module.__dict__)
        except BaseException as error:  # whatever it raises is the answer
            return {"error": self._describe(error)}
        names = {}
        for name, value in list(vars(module).items()):
            if not name.startswith("__") and not isinstance(value, types.ModuleType):
                names[name] = self._value(value, self._constants)
        return {"module": self._refer(module), "names": names}

    def answer(self, request: Tree) -> Tree:
        """Carry out one request of the tester."""
        trees, named = request["args"], request.get("kwargs", {})
        try:
            args = self._codec.decode(trees)
            kwargs = {name: self._codec.decode(tree) for name, tree in named.items()}
            operation = request["op"].removeprefix(_OWN)
            value = self._carry_out(operation, args, kwargs)
            if operation != request["op"]:
                reply = {"value": self._own(value)}
            else:
                reply = self._result(value, [*enumerate(args), *kwargs.items()])
        except BaseException as error:  # whatever it raises is the answer
            reply = {"error": self._describe(TimeoutError(*error.args) if type(error) is OutOfTimeError else error)}
            args, kwargs = locals().get("args", []), locals().get("kwargs", {})
        changed = self._changed(enumerate(args), trees)
        if kwargs:
            changed += self._changed(kwargs.items(), named)
        if changed:
            reply["changed"] = changed
        return reply

    def _carry_out(self, operation: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if operation == "trace":
            return self._tracer.take() if self._tracer is not None else []
        if operation == "limit":
            return self._timer.limit(*args)
        return self._timer.call(_OPERATIONS[operation], args, kwargs)

    def _result(self, value: object, passed: list[tuple[Any, Any]]) -> dict[str, Tree]:
        """The value, or, so that `f(x) is x` holds on the other side, which argument it is."""
        if is_mutable(value):
            for key, argument in passed:
                if argument is value:
                    return {"same": key}
        return {"value": self._value(value)}

    def _changed(self, values: Iterable[tuple[Any, Any]], before: Any) -> list[Tree]:
        changed = []
        for key, value in values:
            tree = before[key]
            if type(tree) is list or (type(tree) is dict and _NO_CONTAINER.isdisjoint(tree)):
                after = self._value(value)
                if repr(after) != repr(tree):  # == would take True for 1
                    changed.append([key, after])
        return changed

    def _value(self, value: object, codec: Codec | None = None) -> Tree:
        try:
            return (codec or self._codec).encode(value)
        except (UncrossableError, RecursionError, MemoryError):
            return self._refer(value)

    def _own(self, value: object) -> Tree:
        """The tree of an object that is wanted as such though it may be plain data, as one of a `class Stack(list)`."""
        tree = self._value(value)
        is_plain = type(tree) is not dict or "ref" not in tree
        return self._refer(value, VALUE) if is_plain and type(value).__module__ == "solution" else tree

    def _refer(self, value: object, nature: str = OBJECT) -> Tree:
        number = self._numbers.setdefault(id(value), len(self._objects))  # of one that is kept, so no other gets its id
        if number == len(self._objects):
            self._objects.append(value)
        kind = type(value)
        described = {"id": number, "type": f"{kind.__module__}.{kind.__qualname__}"[:200], "nature": nature}
        if isinstance(value, type):
            described["nature"] = CLASS
            if issubclass(value, BaseException):
                described["chain"] = _chain(value)
        return {"ref": described}

    def _resolve(self, tag: str, payload: Tree) -> object:
        if tag == "own":
            return self._objects[payload]
        if tag == "slice":
            return slice(*self._codec.all(payload, 1))
        if tag == "builtin":
            return getattr(builtins, payload)
        if tag == "cb":
            return lambda *args, **kwargs: self._call_back(payload, args, kwargs)
        raise LookupError(tag)

    def _call_back(self, function: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        """Call a function that the tester passed in; the tester may call here again before it answers."""
        named = {name: self._value(value) for name, value in kwargs.items()}
        self._link.send({"callback": function, "args": [self._value(a) for a in args], "kwargs": named})
        while True:
            message = self._link.receive()
            if "op" in message:
                self._link.send(self.answer(message))
            elif "error" in message:
                raise getattr(builtins, message["error"], RuntimeError)(message["text"])
            else:
                return self._codec.decode(message["value"])

    def _describe(self, error: BaseException) -> Tree:
        try:
            text = str(error)[:2000]
        except BaseException as second:  # a hostile or broken __str__
            text = f"<no message: {type(second).__name__}>"
        try:
            args = Codec().encode(error.args)
        except (UncrossableError, RecursionError):
            args = None
        described = {"chain": _chain(type(error)), "text": text, "args": args, "line": _line(error)}
        fields = _fields(error)
        return described | {"fields": fields} if fields else described


def _fields(error: BaseException) -> dict[str, Tree]:
    """What the candidate has put into an exception beside its arguments, as far as it is plain data."""
    fields = {}
    with contextlib.suppress(Exception):  # the candidate's class may say what it likes of its attributes
        for name, value in [*vars(error).items()][:_MAX_FIELDS]:
            with contextlib.suppress(UncrossableError):
                fields[str(name)] = Codec(max_nodes=_MAX_CONSTANT).encode(value)
    return fields


def _chain(kind: type[BaseException]) -> list[list[str]]:
    """The classes of an exception type as [module, name], most special first, up to the first builtin one."""
    chain = []
    for base in kind.__mro__:
        chain.append([str(base.__module__)[:200], base.__name__[:200]])
        if getattr(builtins, base.__name__, None) is base:
            break
    return chain


def _line(error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == FILENAME:
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def run_solver(source: bytes, end: socket.socket, trace_seconds: float | None) -> None:
    """Load the candidate, say how that went, then answer until the tester is gone.

    Args:
        source: the candidate, in UTF-8.
        end: to the tester.
        trace_seconds: record the lines that run, and stop them after this CPU time; None records nothing.

    Raises:
        LinkBrokenError: the tester is gone: the usual end.
    """
    gc.enable()
    printed = sys.stdout
    link = Link(end)
    tracer = Tracer(FILENAME, trace_seconds) if trace_seconds is not None else None
    solver = _Solver(link, tracer)
    loaded = solver.load(source.decode("utf-8", "surrogatepass"))
    try:
        link.send(loaded)
    except ValueError:  # constants of many megabytes: leave them out
        link.send({**loaded, "names": {n: tree for n, tree in loaded["names"].items() if "ref" in str(tree)[:7]}})
    if tracer is not None:
        tracer.start()
    while True:
        reply = solver.answer(link.receive())
        printed.flush()
        try:
            link.send(reply)
        except ValueError:
            link.send(_TOO_LONG)


def prepare(output: int) -> None:
    """Make what every solver needs, once, in the zygote: standard streams, and the names that `site` would give.

    Args:
        output: a pipe. Solvers print to one: a stream that is made on another kind of file would remember that.
    """
    kept = {fd: os.dup(fd) for fd in (1, 2)}  # the zygote's own: what goes wrong is told on the second
    for fd in kept:
        os.dup2(output, fd)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout, sys.stderr = _stream(1), _stream(2)
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    for fd, own in kept.items():
        os.dup2(own, fd)
        os.close(own)


def _stream(fd: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)
