"""An engine in a process of its own: a native crash, a lack of memory or a hang becomes an error with a hint.

The process is started again by itself. Requests that it had begun fail, because one of them may be what ended it; the
others are submitted once more.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from leafwise.runtime.contracts import ModelInfo, Request
from leafwise.runtime.engine import Generation
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.engine_wire import (
    ORDERS,
    Answer,
    Cancel,
    Count,
    Hello,
    LoadPrefix,
    Order,
    ReadMeter,
    SavePrefix,
    Submit,
    pack,
)
from leafwise.runtime.errors import EngineCrashedError, LeafwiseError, UsageError
from leafwise.runtime.isolated_books import Flight
from leafwise.runtime.isolated_process import CHILD_COMMAND
from leafwise.runtime.isolated_supervisor import Supervisor
from leafwise.runtime.meter import Meter
from leafwise.runtime.telemetry import trace_generation

_METER_SECONDS = 1.0


class IsolatedEngine:
    """Runs a model in a process of its own. See `Engine`; calls wait while the process is being started again.

    Args:
        model: a name of the registry, or the path of a GGUF file.
        options: how it is opened; `hang_seconds` is the longest that a step may take.
        command: starts the process.

    Raises:
        LeafwiseError: what opening the engine in this process would raise.
        EngineCrashedError: the process died while it opened the model.
    """

    def __init__(self, model: str, options: EngineOptions, *, command: tuple[str, ...] = CHILD_COMMAND) -> None:
        loggers = [logging.getLogger(name) for name in ("leafwise", "leafwise.llama_cpp")]
        hello = Hello(
            model=model,
            options=options.model_copy(update={"isolated": False, "api_key": None}),
            log_level=min(logger.getEffectiveLevel() for logger in loggers),
        )
        _frame(hello)
        self._ids = itertools.count(1)
        self._owner = os.getpid()
        self._supervisor = Supervisor(command, hello)
        atexit.register(self.close)
        try:
            self._supervisor.usable()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> ModelInfo:
        """See `Engine.info`."""
        info = self._supervisor.info
        assert info is not None
        return info

    @property
    def pid(self) -> int | None:
        """The number of the process; None while there is none."""
        process = self._supervisor.process
        return process.pid if process is not None else None

    def submit(self, request: Request) -> Generation:
        """See `Engine.submit`.

        Raises:
            EngineCrashedError: the process died and can not be started again, or died twice over this request.
            UsageError: the request is not valid, or holds what is no text.
        """
        identity = next(self._ids)
        frame = _frame(Submit(id=identity, request=request))
        flight = Flight(request, lambda: self._send_cancel(identity))
        with self._supervisor.changed:
            process = self._supervisor.usable()
            self._supervisor.books.flights[identity] = flight
        process.send(frame)
        try:
            flight.accepted.result()
        except BaseException:
            flight.cancel()  # after Ctrl-C nobody will ever see the handle
            raise
        trace_generation(flight, self.info)
        return flight

    def count_tokens(self, request: Request) -> int:
        """See `Engine.count_tokens`."""
        try:
            return self._count(lambda identity: Count(id=identity, request=request))
        except EngineCrashedError:  # over something else, most likely
            return self._count(lambda identity: Count(id=identity, request=request))

    def meter(self) -> Meter:
        """See `Engine.meter`: over all processes; what the last second of one that died did is missing."""
        if self._supervisor.ready:
            # if the process dies or hangs, what it said a second ago has to do
            with contextlib.suppress(LeafwiseError, TimeoutError):
                self._call(lambda identity: ReadMeter(id=identity), _METER_SECONDS)
        with self._supervisor.changed:
            return self._supervisor.meters.total()

    def save_prefix(self, request: Request, path: Path) -> int:
        """Write the computed state of a request's prompt to a file: see the engine inside."""
        return self._count(lambda identity: SavePrefix(id=identity, request=request, path=str(path.absolute())))

    def load_prefix(self, path: Path) -> int:
        """Read what `save_prefix` wrote: see the engine inside. A process that is started again has it no more."""
        return self._count(lambda identity: LoadPrefix(id=identity, path=str(path.absolute())))

    def close(self) -> None:
        """See `Engine.close`. Does not wait for a step that is being computed."""
        if os.getpid() != self._owner:
            return  # a fork of the process that owns it
        self._supervisor.close()
        atexit.unregister(self.close)

    def __enter__(self) -> IsolatedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, make: Callable[[int], Order], timeout: float | None = None) -> Answer:
        identity = next(self._ids)
        frame = _frame(make(identity))
        call: Future[Answer] = Future()
        with self._supervisor.changed:
            process = self._supervisor.usable()
            self._supervisor.books.calls[identity] = call
        process.send(frame)
        try:
            return call.result(timeout)
        finally:
            self._supervisor.books.calls.pop(identity, None)

    def _count(self, make: Callable[[int], Order]) -> int:
        return self._call(make).number or 0

    def _send_cancel(self, identity: int) -> None:
        process = self._supervisor.process
        if process is not None and identity in self._supervisor.books.flights:
            process.send(pack(Cancel(id=identity)))


def _frame(order: Order) -> bytes:
    """The order as a frame that the process will understand: it would die of what it does not."""
    try:
        frame = pack(order)
        ORDERS.validate_json(frame)
    except ValueError as error:
        why = " ".join(str(error).split())[:300]
        raise UsageError(f"the engine's process can not be told that: {why}", "give text, and valid numbers") from error
    return frame
