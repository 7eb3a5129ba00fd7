"""The real sandbox: a bounded queue of programs, and threads with one worker each that take from it."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque

from leafwise.runtime.errors import SandboxBrokenError, SandboxError, SandboxUnavailableError
from leafwise.runtime.handle import Handle
from leafwise.runtime.layer_bubblewrap import unprivileged_user
from leafwise.runtime.sandbox_contracts import (
    CheckResult,
    Limits,
    Program,
    SandboxLevel,
    SandboxOptions,
    Status,
    Verdict,
)
from leafwise.runtime.sandbox_verdict import verdict_of
from leafwise.runtime.sandbox_worker import Worker

_DEFAULT_LIMITS = Limits()
_TRIES = 2
_CANCEL_POLL_SECONDS = 0.05


class _Task:
    """A program in the queue or in a worker."""

    def __init__(self, program: Program, limits: Limits, level: SandboxLevel) -> None:
        self.program = program
        self.limits = limits
        self.handle: Handle[CheckResult, Verdict] = Handle()
        self._level = level
        self._worker: Worker | None = None
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """End the program if it runs, else give its verdict now."""
        with self._lock:
            if self._worker is not None:
                self._worker.cancel()
            else:
                self.handle.finish(Verdict(status=Status.TIMEOUT, detail="cancelled", level=self._level))

    def run(self, worker: Worker) -> tuple[Verdict | None, bool]:
        """Run it in a worker.

        Returns:
            The verdict, None if it was cancelled before; and whether the worker can go on.

        Raises:
            SandboxBrokenError: the worker broke.
        """
        with self._lock:
            if self.handle.done:
                return None, True
            self._worker = worker
        try:
            outcome = worker.run(self.program, self.limits, self.handle.cancel_event)
        finally:
            with self._lock:
                self._worker = None
        return verdict_of(self.program, self.limits, outcome, self._level), outcome.report.clean


class ProcessSandbox:
    """A pool of workers; a context manager. Programs may be given from any number of threads.

    Args:
        options: the level, and what is let in or left out.
        workers: programs that run at once; None is one per core.
        waiting: programs that may wait for a worker; `submit` blocks while so many do.

    Raises:
        SandboxUnavailableError: the first worker did not start.
    """

    def __init__(self, options: SandboxOptions, workers: int | None = None, *, waiting: int = 1024) -> None:
        self._options = options
        self._user = unprivileged_user()
        self._waiting: deque[_Task] = deque()
        self._most_waiting = waiting
        self._changed = threading.Condition()
        self._closed = False
        self._owner = os.getpid()
        self._layers: tuple[str, ...] = ()
        self._runners = [_Runner(self) for _ in range(workers or len(os.sched_getaffinity(0)))]
        atexit.register(self.close)
        self._runners[0].start(warm := Handle[None, Worker]())
        try:
            self._layers = warm.result().layers
        except BaseException:
            self.close()
            raise
        for runner in self._runners[1:]:
            runner.start()

    @property
    def level(self) -> SandboxLevel:
        """How strongly programs are contained."""
        return self._options.level

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that are on, in the order in which a program's process puts them up."""
        return self._layers

    def submit(self, program: Program, limits: Limits = _DEFAULT_LIMITS) -> Handle[CheckResult, Verdict]:
        """Have a program run; see `Sandbox.submit`."""
        task = _Task(program, limits, self.level)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._most_waiting)
            if self._closed:
                raise SandboxError("the sandbox is closed")
            self._waiting.append(task)
            self._changed.notify_all()
        task.handle.when_cancelled(task.cancel)
        return task.handle

    def run(self, program: Program, limits: Limits = _DEFAULT_LIMITS, cancel: threading.Event | None = None) -> Verdict:
        """Run a program and its checks; see `Sandbox.run`."""
        if cancel is not None and cancel.is_set():
            return Verdict(status=Status.TIMEOUT, detail="cancelled", level=self.level)
        handle = self.submit(program, limits)
        try:
            while cancel is not None:
                try:
                    return handle.result(_CANCEL_POLL_SECONDS)
                except TimeoutError:
                    if cancel.is_set():
                        handle.cancel()
                        break
            return handle.result()
        except BaseException:
            handle.cancel()
            raise

    def close(self) -> None:
        """Kill all workers and wait until they are gone. Closing twice is fine."""
        if os.getpid() != self._owner:
            return  # a fork of the process that owns it
        with self._changed:
            self._closed = True
            waiting = [*self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for task in waiting:
            task.handle.finish(SandboxError("the sandbox was closed before the program's turn"))
        for runner in self._runners:
            runner.interrupt()
        for runner in self._runners:
            runner.join()
        atexit.unregister(self.close)

    def __enter__(self) -> ProcessSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def test_layers(self) -> dict[str, list[str]]:
        """Have each layer try itself, alone, in a worker made for it.

        Returns:
            Layer -> what a program could still do that the layer should prevent; empty where it holds.

        Raises:
            SandboxError: the worker did not start or died.
        """
        worker = self.new_worker()
        try:
            return worker.test_layers()
        finally:
            worker.kill()

    # for the runners

    def new_worker(self) -> Worker:
        """Start a worker, for the calling thread.

        Raises:
            SandboxUnavailableError: it did not start.
        """
        if self._user is not None:
            try:
                return Worker(self._options, self._user)
            except SandboxUnavailableError:
                self._user = None  # some systems let only root make namespaces
        return Worker(self._options, None)

    def next_task(self) -> _Task | None:
        """Wait for a program to run; None when the sandbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            self._changed.notify_all()
            return self._waiting.popleft()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed


class _Runner:
    """A thread with a worker: bubblewrap dies with the thread that started it, so the two stay together."""

    def __init__(self, pool: ProcessSandbox) -> None:
        self._pool = pool
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    def start(self, warm: Handle[None, Worker] | None = None) -> None:
        """Begin to take programs; the worker starts with the first one, or now if somebody waits for it."""
        self._thread = threading.Thread(target=self._work, args=(warm,), name="leafwise-sandbox", daemon=True)
        self._thread.start()

    def interrupt(self) -> None:
        """End what the worker does, if there is one."""
        if (worker := self._worker) is not None:
            worker.interrupt()

    def join(self) -> None:
        """Wait until thread and worker are gone."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, warm: Handle[None, Worker] | None) -> None:
        try:
            if warm is not None and not self._warm_up(warm):
                return
            while (task := self._pool.next_task()) is not None:
                self._serve(task)
        finally:
            self._drop()

    def _warm_up(self, warm: Handle[None, Worker]) -> bool:
        try:
            self._worker = self._pool.new_worker()
        except Exception as error:  # whoever waits has to hear of it
            warm.finish(error)
            return False
        warm.finish(self._worker)
        return True

    def _serve(self, task: _Task) -> None:
        try:
            verdict = self._verdict(task)
        except Exception as error:  # whoever waits has to hear of it
            task.handle.finish(error)
        else:
            if verdict is not None:
                task.handle.finish(verdict)

    def _verdict(self, task: _Task) -> Verdict | None:
        for left in reversed(range(_TRIES)):
            if self._worker is None:
                self._worker = self._pool.new_worker()
            if self._pool.closed:
                break
            reusable = False
            try:
                verdict, reusable = task.run(self._worker)
                return verdict
            except SandboxBrokenError:
                if not left or self._pool.closed:
                    raise
            finally:
                if not reusable:
                    self._drop()
        raise SandboxError("the sandbox was closed")

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
