"""Jobs done here: one engine, one sandbox, and threads whose requests meet in the engine's batch."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

from leafwise.agents.errors import RunInterrupted
from leafwise.benchmarks.contracts import Job
from leafwise.benchmarks.dispatch import Lost, Reply, dispatch
from leafwise.benchmarks.executors import Outcome
from leafwise.benchmarks.generate import generate
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineClosedError, EngineCrashedError, LeafwiseError, SandboxBrokenError
from leafwise.runtime.opening import open_engine
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel

_log = logging.getLogger(__name__)

CRASHES = (EngineCrashedError, SandboxBrokenError)
"""Errors that a job may have caught from its neighbours: it is worth another try."""
_ABANDON_SECONDS = 10.0
_WORKER = "threads"


class LocalExecutor:
    """Does jobs in threads of this process. See `Executor`.

    Engine and sandbox that are given stay the caller's; those that are named are opened by the first `run`.

    Args:
        model: a model's name, path or URL, or an engine.
        options: how a named model is opened.
        sandbox: a level, None for the best that works here, or a sandbox.
        parallel: jobs that are done at once.
        sandbox_workers: programs that run at once; None is one per core.
    """

    def __init__(
        self,
        model: str | Engine,
        options: EngineOptions | None = None,
        sandbox: SandboxLevel | Sandbox | None = None,
        parallel: int = 4,
        sandbox_workers: int | None = None,
    ) -> None:
        self._model, self._options, self._sandbox = model, options, sandbox
        self._parallel, self._sandbox_workers = parallel, sandbox_workers
        self._opened: tuple[Engine, Sandbox] | None = None
        self._stack = ExitStack()
        self._metering = threading.Lock()
        self._joules: float | None = None

    def open(self) -> None:
        """Open what is only named, if that has not been done.

        Raises:
            ModelError, EngineError: the model does not load.
            SandboxError: there is no such sandbox here.
        """
        if self._opened is not None:
            return
        with ExitStack() as stack:
            engine, box = self._model, self._sandbox
            if isinstance(engine, str):
                engine = stack.enter_context(closing(open_engine(engine, self._options)))
            if box is None or isinstance(box, SandboxLevel):
                box = stack.enter_context(closing(open_sandbox(box, workers=self._sandbox_workers)))
            self._stack = stack.pop_all()
        self._opened = engine, box
        self._joules = engine.meter().energy_joules

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Executor.run`. A job that was in flight when the engine crashed is tried again, twice at most."""
        self.open()
        self._spent_joules()  # what was used while nothing ran is not the first job's
        crew = _Threads(self.attempt, self._parallel)
        for number, result in dispatch(jobs, crew):
            if isinstance(result, Lost):
                yield Outcome(jobs[number], None, result.why, self._spent_joules())
            else:
                yield result

    def attempt(self, job: Job, stop: threading.Event | None = None) -> Outcome:
        """Do one job, from any thread, with the engine opened.

        Args:
            job: what to do.
            stop: when set, it is given up.

        Raises:
            EngineCrashedError, SandboxBrokenError: the machinery broke; another try may go well.
            EngineClosedError: there is no engine any more.
            RunInterrupted: `stop` was set.
        """
        assert self._opened is not None
        try:
            return Outcome(job, generate(job, *self._opened, stop), joules=self._spent_joules())
        except (*CRASHES, EngineClosedError, RunInterrupted):
            raise
        except LeafwiseError as error:
            return Outcome(job, None, _line(error), self._spent_joules())

    def close(self) -> None:
        """See `Executor.close`."""
        self._stack.close()
        self._opened = None

    def _spent_joules(self) -> float | None:
        assert self._opened is not None
        with self._metering:
            before, self._joules = self._joules, self._opened[0].meter().energy_joules
            return None if before is None or self._joules is None else self._joules - before


class _Threads:
    """A crew of one worker: a thread for each job in flight."""

    def __init__(self, attempt: Callable[[Job, threading.Event], Outcome], parallel: int) -> None:
        self._attempt, self._parallel = attempt, parallel
        self._replies: queue.SimpleQueue[Reply[Outcome] | LeafwiseError] = queue.SimpleQueue()
        self._fatal: LeafwiseError | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._crashes = 0

    def ready(self) -> Mapping[str, int]:
        """See `Crew.ready`."""
        return {_WORKER: self._parallel}

    def send(self, worker: str, number: int, unit: Job) -> None:
        """See `Crew.send`."""
        # daemons: a program that ends does not wait for jobs that nobody waits for
        thread = threading.Thread(target=self._work, args=(worker, number, unit), name="leafwise-job", daemon=True)
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def poll(self, seconds: float) -> list[Reply[Outcome]]:
        """See `Crew.poll`."""
        found: list[Reply[Outcome] | LeafwiseError] = []
        try:
            found.append(self._replies.get(timeout=seconds) if seconds else self._replies.get_nowait())
            while True:
                found.append(self._replies.get_nowait())
        except queue.Empty:
            pass
        replies = [reply for reply in found if isinstance(reply, Reply)]
        self._fatal = self._fatal or next((error for error in found if isinstance(error, LeafwiseError)), None)
        if self._fatal is not None and not replies:  # what is finished comes first
            raise self._fatal
        return replies

    def abandon(self) -> None:
        """See `Crew.abandon`."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_ABANDON_SECONDS)

    def _work(self, worker: str, number: int, job: Job) -> None:
        try:
            self._replies.put(Reply(worker, number, self._attempt(job, self._stop)))
            self._crashes = 0
        except RunInterrupted:
            pass  # nobody waits for it
        except EngineClosedError as error:
            self._replies.put(error)
        except CRASHES as error:
            self._crashes += 1
            hopeless = self._crashes >= max(10, 3 * self._parallel)  # an engine that can not be started again
            self._replies.put(error if hopeless else Reply(worker, number, None, _line(error)))
        # the thread's boundary: whatever happened to one job, the others go on
        except Exception as error:
            _log.exception("job %s failed", job.key)
            self._replies.put(Reply(worker, number, Outcome(job, None, f"{type(error).__name__}: {error}")))


def _line(error: LeafwiseError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
