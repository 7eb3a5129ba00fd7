"""The real sandbox: a pool of workers, and verdicts from what they report."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pydantic import ValidationError

from leafwise.runtime.errors import SandboxBrokenError, SandboxError, SandboxUnavailableError
from leafwise.runtime.layer_bubblewrap import unprivileged_user
from leafwise.runtime.sandbox_contracts import CheckResult, Limits, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_job import Outcome
from leafwise.runtime.sandbox_worker import Worker

_DEFAULT_LIMITS = Limits()
_TRIES = 2
_CANCEL_POLL_SECONDS = 0.05


class ProcessSandbox:
    """A pool of workers at one level; a context manager. `run` may be called from any number of threads.

    Args:
        level: full, landlock or none.
        workers: programs that run at once; None is one per core.

    Raises:
        SandboxUnavailableError: the first worker did not start.
    """

    def __init__(self, level: SandboxLevel, workers: int | None = None) -> None:
        self._level = level
        self._closed = False
        self._free = threading.Semaphore(workers or len(os.sched_getaffinity(0)))
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._busy: set[Worker] = set()
        self._lock = threading.Condition()
        self._starter = _Starter()
        self._at_exit = _close_at_exit(self)
        self._user = unprivileged_user()
        try:
            self._idle.put(self._first_worker())
        except BaseException:
            self.close()
            raise

    @property
    def level(self) -> SandboxLevel:
        """How strongly programs are contained."""
        return self._level

    def run(self, program: Program, limits: Limits = _DEFAULT_LIMITS, cancel: threading.Event | None = None) -> Verdict:
        """Run a program and its checks; see `Sandbox.run`."""
        while not self._free.acquire(timeout=None if cancel is None else _CANCEL_POLL_SECONDS):
            if cancel is not None and cancel.is_set():
                return Verdict(status=Status.TIMEOUT, detail="cancelled", level=self._level)
        try:
            return self._run(program, limits, cancel)
        finally:
            self._free.release()

    def _run(self, program: Program, limits: Limits, cancel: threading.Event | None) -> Verdict:
        for left in reversed(range(_TRIES)):
            worker = self._take()
            outcome = None
            try:
                outcome = worker.run(program, limits, cancel)
                return _verdict(program, limits, outcome, self._level)
            except SandboxBrokenError:
                if not left or self._closed:
                    raise
            finally:
                self._give_back(worker, outcome is not None and outcome.report["clean"])
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Kill all workers and wait until they are gone. Closing twice is fine."""
        with self._lock:
            self._closed = True
            for worker in self._busy:
                worker.interrupt()
            self._lock.wait_for(lambda: not self._busy)
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().kill()
        self._starter.close()
        atexit.unregister(self._at_exit)

    def __enter__(self) -> ProcessSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_worker(self) -> Worker:
        try:
            return self._new_worker()
        except SandboxUnavailableError:
            if self._user is None:
                raise
        self._user = None  # some systems let only root make namespaces
        return self._new_worker()

    def _new_worker(self) -> Worker:
        worker = Worker(self._level, self._user)
        self._starter.call(worker.start)
        return worker

    def _take(self) -> Worker:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = self._new_worker()
        with self._lock:
            if not self._closed:
                self._busy.add(worker)
                return worker
        worker.kill()
        raise SandboxError("the sandbox is closed")

    def _give_back(self, worker: Worker, reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed:
                self._busy.discard(worker)
                self._idle.put(worker)
                return
        worker.kill()
        with self._lock:
            self._busy.discard(worker)
            self._lock.notify_all()


class _Starter:
    """One thread that starts every worker: bubblewrap dies with the thread that started it, so that one must stay."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="leafwise-sandbox-starter", daemon=True)
        self._thread.start()

    def call(self, start: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._jobs.put((start, done))
        done.result()

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            start, done = job
            try:
                start()
            except BaseException as error:  # handed to the thread that asked
                done.set_exception(error)
            else:
                done.set_result(None)


def _close_at_exit(sandbox: ProcessSandbox) -> Callable[[], None]:
    alive = weakref.ref(sandbox)

    def close() -> None:
        if (still := alive()) is not None:
            still.close()

    return atexit.register(close)


def _verdict(program: Program, limits: Limits, outcome: Outcome, level: SandboxLevel) -> Verdict:
    said: dict[str, Any] = {}
    checks: list[CheckResult] = []
    for message in outcome.messages:
        if "check" in message and len(checks) < len(program.checks):
            with contextlib.suppress(ValidationError):
                checks.append(CheckResult.model_validate(message["check"]))
        said |= message
    status, detail = _status(program, limits, outcome, said, checks)
    return Verdict(
        status=status,
        checks=tuple(checks),
        detail=detail,
        output=outcome.output,
        output_cut=outcome.output_cut,
        seconds=outcome.seconds,
        cpu_seconds=outcome.report["cpu"],
        level=level,
    )


def _status(
    program: Program, limits: Limits, outcome: Outcome, said: dict[str, Any], checks: list[CheckResult]
) -> tuple[Status, str]:
    report = outcome.report
    if report["reason"] == "cancelled":
        return Status.TIMEOUT, "cancelled"
    if report["reason"] == "wall":
        return Status.TIMEOUT, f"wall-clock limit of {limits.wall_seconds:g} s reached"
    if report["reason"] == "cpu" or -signal.SIGXCPU in (report["solver"], report["tester"]):
        return Status.TIMEOUT, f"CPU limit of {limits.cpu_seconds:g} s reached"
    if "load_error" in said:
        error, line = str(said["load_error"]), f"line {said.get('line')}"
        return Status.LOAD_ERROR, error if said.get("line") is None or line in error else f"{error} ({line})"
    if "lost" in said:
        where = f"during check {said.get('at')}" if said.get("loaded") else "while it was loaded"
        return Status.CRASHED, f"the program ended {where}: {_how(report['solver'], str(said['lost']))}"
    if not said.get("end"):
        return Status.CRASHED, f"the process of the checks ended early: {_how(report['tester'], '')}"
    expected = len(program.checks)
    complete = len(checks) == expected
    if complete and all(check.passed for check in checks) and not said.get("setup"):
        return Status.PASSED, ""
    return Status.FAILED, str(said.get("setup") or f"{sum(c.passed for c in checks)} of {expected} checks passed")


def _how(status: int | None, otherwise: str) -> str:
    """An exit status in words; a killed solver may only have been killed because the tester had given it up."""
    if status is not None and status < 0 and status != -signal.SIGKILL:
        return f"signal {signal.Signals(-status).name}"
    if status is not None and status >= 0:
        return f"exit status {status}"
    return otherwise or "killed"
