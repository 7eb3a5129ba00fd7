"""The engine's process: opens the engine, does what its parent orders, and ends with it.

    python -P -m leafwise.runtime.isolated_child DESCRIPTOR

The descriptor is the socket to the parent. Standard output is not used: native code may print there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Protocol, cast

from leafwise.runtime.contracts import Completion, Piece, Request
from leafwise.runtime.engine import Engine, Generation
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.engine_wire import (
    LOG_CHARS,
    ORDERS,
    Answer,
    Beat,
    Cancel,
    Count,
    Ended,
    Failure,
    Hello,
    Link,
    LinkBrokenError,
    LoadPrefix,
    LogLine,
    Order,
    ReadMeter,
    Ready,
    Refused,
    Report,
    Said,
    SavePrefix,
    Started,
    Submit,
    Unopened,
    beat_seconds,
    pack,
    plain_text,
)
from leafwise.runtime.errors import EngineCrashedError, LeafwiseError
from leafwise.runtime.meter import Meter

log = logging.getLogger("leafwise.runtime.isolated_child")  # its __name__ is __main__

_MESSAGES = 500  # most of one frame
_GOODBYE_SECONDS = 1.0
_UNOPENED = 3  # exit status


class LocalEngine(Engine, Protocol):
    """An engine that computes in this process."""

    def busy_seconds(self) -> float:
        """How long the present step has taken; 0 when idle."""
        ...

    def save_prefix(self, request: Request, path: Path) -> int:
        """Write a prompt's computed state."""
        ...

    def load_prefix(self, path: Path) -> int:
        """Read a prompt's computed state."""
        ...


Opener = Callable[[str, EngineOptions], LocalEngine]


class Child:
    """Serves one parent. The calling thread gives the engine its orders; others read, write, and show life.

    Args:
        end: the socket to the parent.
    """

    def __init__(self, end: socket.socket) -> None:
        self._link = Link(end, ORDERS)
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._engine: LocalEngine | None = None
        self._running: dict[int, Generation] = {}
        self._order_since: float | None = None

    def serve(self, open_engine: Opener) -> None:
        """Open the engine and serve until the parent is gone: then this process ends, whatever it is doing."""
        threading.excepthook = _die
        _start(self._read)
        hello = self._orders.get()
        assert isinstance(hello, Hello)
        _forward_logging(hello.log_level, self._reports)
        _start(self._write)
        _start(self._beat, beat_seconds(hello.options))
        try:
            engine = open_engine(hello.model, hello.options)
        # the process's boundary: the parent raises it
        except Exception as error:
            self._send(*self._pending(), Unopened(failure=_opening_failure(error)))
            os._exit(_UNOPENED)
        self._engine = engine
        self._reports.put(Ready(info=engine.info))
        while True:
            order = self._orders.get()
            self._order_since = time.monotonic()
            self._do(order, engine)
            self._order_since = None

    # orders

    def _do(self, order: Order, engine: LocalEngine) -> None:
        if isinstance(order, Cancel):
            if generation := self._running.get(order.id):
                generation.cancel()
        elif isinstance(order, Submit):
            self._submit(order, engine)
        elif isinstance(order, SavePrefix | LoadPrefix):  # these compute, or wait for the disk
            _start(self._answer, order, engine)
        elif isinstance(order, Count | ReadMeter):
            self._answer(order, engine)

    def _answer(self, order: Count | ReadMeter | SavePrefix | LoadPrefix, engine: LocalEngine) -> None:
        try:
            if isinstance(order, ReadMeter):
                answer = Answer(id=order.id, meter=engine.meter())
            elif isinstance(order, Count):
                answer = Answer(id=order.id, number=engine.count_tokens(order.request))
            elif isinstance(order, SavePrefix):
                answer = Answer(id=order.id, number=engine.save_prefix(order.request, Path(order.path)))
            else:
                answer = Answer(id=order.id, number=engine.load_prefix(Path(order.path)))
        # the process's boundary: the parent raises it
        except Exception as error:
            self._reports.put(Refused(id=order.id, failure=_failure(error)))
        else:
            self._reports.put(answer)

    def _submit(self, order: Submit, engine: LocalEngine) -> None:
        identity = order.id
        try:
            generation = engine.submit(order.request)
        # the process's boundary: the parent raises it
        except Exception as error:
            self._reports.put(Refused(id=identity, failure=_failure(error)))
            return
        self._running[identity] = generation
        self._reports.put(Answer(id=identity))
        # at once and not through the queue: the engine may crash over this request right after it
        generation.on_start = lambda: self._send(Started(id=identity))
        if generation.started:
            self._send(Started(id=identity))

        def on_item(piece: Piece) -> None:
            self._reports.put(Said(id=identity, piece=piece))

        def on_end(outcome: Completion | Exception) -> None:
            self._running.pop(identity, None)
            if isinstance(outcome, Exception):
                self._reports.put(Ended(id=identity, failure=_failure(outcome)))
            else:
                self._reports.put(Ended(id=identity, completion=outcome))

        generation.watch(on_item, on_end)

    # the other threads

    def _read(self) -> None:
        with contextlib.suppress(LinkBrokenError):
            while True:
                for order in self._link.receive():
                    self._orders.put(order)
        # The parent closed its side, or is dead: it must not take long, and a step may take minutes.
        goodbye = _start(self._say_goodbye)
        goodbye.join(_GOODBYE_SECONDS)
        os._exit(0)

    def _say_goodbye(self) -> None:
        self._send(*self._pending(), Beat(busy=0.0, meter=self._meter()))

    def _write(self) -> None:
        while True:
            first = self._reports.get()
            self._send(first, *self._pending())

    def _beat(self, seconds: float) -> None:
        parent = os.getppid()
        # a fork of the parent may hold its end of the socket open when it is dead
        while os.getppid() == parent:
            busy = self._busy()
            # a step that hangs may hold what the meter needs
            self._reports.put(Beat(busy=busy, meter=self._meter() if busy < seconds else None))
            time.sleep(seconds)
        os._exit(0)

    def _busy(self) -> float:
        since = self._order_since
        waiting = time.monotonic() - since if since is not None else 0.0
        return max(waiting, self._engine.busy_seconds() if self._engine is not None else 0.0)

    def _meter(self) -> Meter | None:
        try:
            return self._engine.meter() if self._engine is not None else None
        # the thread's boundary: who shows life must not die of a meter
        except Exception:
            log.exception("the meter can not be read")
            return None

    def _pending(self) -> list[Report]:
        """Reports that wait; as many as go into a frame."""
        pending: list[Report] = []
        with contextlib.suppress(queue.Empty):
            while len(pending) < _MESSAGES:
                pending.append(self._reports.get_nowait())
        return pending

    def _send(self, *reports: Report) -> None:
        with contextlib.suppress(LinkBrokenError):  # the reading thread ends the process
            self._link.send(pack(*reports))


class ReportHandler(QueueHandler):
    """Makes log records reports."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Called with a record whose message is formatted."""
        level = min(record.levelno, logging.CRITICAL)
        text = plain_text(record.getMessage()[:LOG_CHARS])
        self.queue.put_nowait(LogLine(logger=record.name, level=level, text=text))


def _forward_logging(level: int, reports: queue.SimpleQueue[Report]) -> None:
    logger = logging.getLogger("leafwise")
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(ReportHandler(cast("queue.Queue[Report]", reports)))


def _failure(error: Exception) -> Failure:
    if not isinstance(error, LeafwiseError):
        log.error("the engine failed", exc_info=error)
    return Failure.of(error)


def _opening_failure(error: Exception) -> Failure:
    if isinstance(error, LeafwiseError):
        return Failure.of(error)
    log.debug("the engine could not be opened", exc_info=error)
    name = type(error).__name__
    return Failure.of(EngineCrashedError(f"the engine could not be opened: {name}: {error}", "please report this"))


def _die(failed: threading.ExceptHookArgs) -> None:
    """A thread that nobody misses until the parent thinks that this process hangs: rather end it and say why."""
    threading.__excepthook__(failed)
    os._exit(1)


def _start(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, name=f"leafwise-child-{target.__name__}", daemon=True)
    thread.start()
    return thread


def _open(model: str, options: EngineOptions) -> LocalEngine:
    # Imported here, when the parent already sees life: it takes half a second.
    from leafwise.runtime.opening import open_in_process

    return open_in_process(model, options)


def main() -> None:
    """See the module's docstring."""
    # If memory runs out, this process is the one to end: its parent says so and starts it again.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    Child(socket.socket(fileno=int(sys.argv[1]))).serve(_open)


if __name__ == "__main__":
    main()
