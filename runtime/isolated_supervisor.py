"""Keeps an engine's process running: starts it again when it dies, and takes its reports to those who wait."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from leafwise.runtime.contracts import ModelInfo
from leafwise.runtime.engine_wire import (
    Answer,
    Beat,
    Cancel,
    Ended,
    Hello,
    Ready,
    Refused,
    Report,
    Said,
    Started,
    Submit,
    Unopened,
    pack,
)
from leafwise.runtime.errors import EngineClosedError, EngineCrashedError, LeafwiseError
from leafwise.runtime.isolated_books import Books, MeterSum
from leafwise.runtime.isolated_process import EngineProcess
from leafwise.runtime.meter import Meter

log = logging.getLogger(__name__)

_STARTS = 3  # processes that die one after the other before they are ready, until nothing more is tried
_RETRY_SECONDS = 0.5
_RESTART_SECONDS = 600.0  # a large model from a slow disk


class Supervisor:
    """One process after the other, in a thread of its own.

    Args:
        command: starts a process.
        hello: what it opens.
    """

    def __init__(self, command: tuple[str, ...], hello: Hello) -> None:
        self._command, self._hello, self._folder = command, hello, Path.cwd()
        self.changed = threading.Condition()
        """Guards what follows."""
        self.books = Books()
        """What the process has to do."""
        self.meters = MeterSum()
        """What was done."""
        self.info: ModelInfo | None = None
        """What runs; None before the first process was ready."""
        self.process: EngineProcess | None = None
        """The present process."""
        self.ready = False
        """Whether it takes requests."""
        self._closing = False
        self._failure: LeafwiseError | None = None
        self._opening_error: LeafwiseError | None = None
        self._false_starts = 0
        self._thread = threading.Thread(target=self._run, name="leafwise-supervisor", daemon=True)
        self._thread.start()

    def usable(self) -> EngineProcess:
        """The process, once it takes requests. Hold `changed` to be sure that it stays the present one.

        Raises:
            EngineClosedError: the engine is closed.
            LeafwiseError: the first process could not open it; no further process could be started.
        """
        with self.changed:
            over = self.changed.wait_for(lambda: self.ready or self._closing or self._failure, _RESTART_SECONDS)
            if self._failure is not None:
                raise type(self._failure)(self._failure.message, self._failure.hint)
            if self._closing:
                raise EngineClosedError("the engine is closed")
            if not over or self.process is None:
                raise EngineCrashedError(
                    f"the engine's process is not ready after {_RESTART_SECONDS:.0f} s", "use a smaller model"
                )
            return self.process

    def close(self) -> None:
        """End the process; whatever waits for it gets `EngineClosedError`. Does not wait for a step to be over."""
        with self.changed:
            self._closing = True
            process = self.process
            self.changed.notify_all()
        if process is not None:
            process.end()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # the thread

    def _run(self) -> None:
        try:
            while (process := self._start()) is not None:
                process.listen(self._receive)
                self._mourn(process)
        # the thread's boundary: whatever happened, every waiting caller must hear of it
        except Exception as error:
            log.exception("the engine's supervisor failed")
            self._failure = EngineCrashedError(f"the engine's supervisor failed: {error!r}", "please report this")
        with self.changed:
            self.ready, self.process = False, None
            self.meters.close()
            fail = self.books.lose_process(for_good=True)
            self.changed.notify_all()
        fail(self._failure or EngineClosedError("the engine was closed"))

    def _start(self) -> EngineProcess | None:
        """Start a process; None if that is of no use."""
        with self.changed:
            while True:
                self.changed.wait_for(lambda: self._closing, self._false_starts * _RETRY_SECONDS)
                if self._closing or self._failure is not None:
                    return None
                try:
                    self.process = EngineProcess(self._command, self._folder, self._hello)
                except OSError as error:
                    self._count_false_start(EngineCrashedError(f"the engine's process can not be started: {error}"))
                else:
                    return self.process

    def _mourn(self, process: EngineProcess) -> None:
        """Account for a process that is over."""
        with self.changed:
            error = self._opening_error or process.error()
            was_ready, self.ready, self.process, self._opening_error = self.ready, False, None, None
            self.meters.settle()
            if self._closing:
                return
            if not was_ready:
                self._count_false_start(error)
            # a process that never was ready had no requests
            fail = self.books.lose_process(for_good=False) if was_ready else None
            if self._failure is None:
                self.meters.restarts += 1
                log.warning("%s; starting it again", error.message)
        if fail is not None:
            fail(error)

    def _count_false_start(self, error: LeafwiseError) -> None:
        self._false_starts += 1
        if self.info is None:
            self._failure = error
        elif self._false_starts == _STARTS:
            self._failure = EngineCrashedError(f"the engine can not be started again: {error.message}", error.hint)

    def _receive(self, report: Report) -> None:
        if isinstance(report, Started | Said):
            self._on_progress(report)
        elif isinstance(report, Ready):
            self._on_ready(report)
        elif isinstance(report, Unopened):
            self._opening_error = report.failure.as_error()
        elif isinstance(report, Refused | Ended):
            self._on_end(report)
        elif isinstance(report, Answer | Beat):
            self._on_meter(report.meter)
            if isinstance(report, Answer):
                self.books.answer(report)

    def _on_ready(self, report: Ready) -> None:
        with self.changed:
            process = self.process
            assert process is not None
            detail = f"{report.info.detail}, own process" if report.info.detail else "own process"
            self.info = report.info.model_copy(update={"detail": detail})
            self.ready, self._false_starts = True, 0
            waiting = list(self.books.flights.items())
            self.changed.notify_all()
        for identity, flight in waiting:
            process.send(pack(Submit(id=identity, request=flight.resubmission())))
            if flight.cancelled:
                process.send(pack(Cancel(id=identity)))

    def _on_progress(self, report: Started | Said) -> None:
        flight = self.books.flights.get(report.id)
        if flight is None:
            return
        if isinstance(report, Started):
            flight.begin()
        else:
            flight.push(report.piece)

    def _on_end(self, report: Refused | Ended) -> None:
        fatal = self.books.refuse(report) if isinstance(report, Refused) else self.books.end(report)
        if fatal is not None and self.process is not None:
            self.process.kill(fatal)

    def _on_meter(self, meter: Meter | None) -> None:
        if meter is not None:
            with self.changed:
                self.meters.update(meter)
