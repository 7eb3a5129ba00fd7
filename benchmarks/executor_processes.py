"""Jobs done by several processes of this machine, each with an engine and a sandbox of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO

import psutil

from leafwise.benchmarks.contracts import Job
from leafwise.benchmarks.dispatch import Lost, Reply, dispatch
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_station import GenerationSetup, Report, Work, lasting_model, outcome_of
from leafwise.benchmarks.executors import Outcome
from leafwise.runtime.crash_signals import signal_name
from leafwise.runtime.energy import open_energy_sensor
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.sandbox_contracts import SandboxLevel

# OpenMP's threads spin while they wait: beside other processes that costs more than it gains.
_COMMAND = ("env", "GOMP_SPINCOUNT=1000", sys.executable, "-P", "-m", "leafwise.benchmarks.executor_child")
_FALSE_STARTS = 3  # processes that die one after the other before they are ready, until no more are started
_END_SECONDS = 2.0


class ProcessExecutor:
    """Does jobs in several processes. See `Executor`. A process that dies is replaced, and its jobs are done again.

    Args:
        model: a model's name or path.
        options: how it is opened in each process; without `threads`, the cores are divided.
        sandbox: the sandboxes' level; None for the best that works here.
        parallel: jobs that each process does at once.
        processes: how many.

    Raises:
        UsageError: the model is a server.
        ModelError: there is no such model here.
    """

    def __init__(
        self,
        model: str,
        options: EngineOptions | None = None,
        sandbox: SandboxLevel | None = None,
        parallel: int = 1,
        processes: int = 2,
    ) -> None:
        options = options or EngineOptions()
        setup = GenerationSetup(
            model=lasting_model(model, "--processes"),
            engine=options.model_copy(update={"threads": options.threads or _share(processes), "api_key": None}),
            sandbox=sandbox,
            sandbox_workers=_share(processes),
            parallel=parallel,
            model_sha256=None,
            measures_energy=False,  # the sensors count the whole machine
        )
        self._crew = ProcessCrew(setup.model_dump_json(), processes, parallel)
        self._sensor = open_energy_sensor()
        self._joules = 0.0

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Executor.run`. A job whose process died is tried again, twice at most."""
        self._spent_joules()
        for number, result in dispatch([job.model_dump_json() for job in jobs], self._crew):
            job = jobs[number]
            outcome = Outcome(job, None, result.why) if isinstance(result, Lost) else outcome_of(job, result)
            yield Outcome(job, outcome.generated, outcome.error, self._spent_joules())

    def close(self) -> None:
        """See `Executor.close`."""
        self._crew.close()

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that run now."""
        return self._crew.pids

    def _spent_joules(self) -> float | None:
        now = self._sensor.joules() if self._sensor is not None else None
        if now is None:
            return None
        before, self._joules = self._joules, now
        return now - before


class ProcessCrew:
    """A crew of processes that open the same station. See `Crew`. They end with this process, however it ends.

    Args:
        setup: what they open, as JSON.
        processes: how many.
        parallel: units that each does at once.
    """

    def __init__(self, setup: str, processes: int, parallel: int) -> None:
        self._setup, self._processes, self._parallel = setup, processes, parallel
        self._ids = itertools.count(1)
        self._members: dict[str, _Process] = {}
        self._false_starts = 0
        self._last_words = ""

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that run now."""
        return [member.popen.pid for member in self._members.values()]

    def ready(self) -> Mapping[str, int]:
        """See `Crew.ready`.

        Raises:
            BenchmarkError: processes die before they are ready, one after the other.
        """
        ready = {name: self._parallel for name, member in self._members.items() if member.ready}
        opening = len(self._members) > len(ready)
        if self._false_starts >= _FALSE_STARTS:
            if not self._members:
                raise BenchmarkError(
                    f"no process stays alive until the model is loaded: {self._last_words}",
                    "most likely too little memory: use fewer --processes or a smaller model",
                )
        # one after the other, so that each plans its memory with what the others left
        elif not opening and len(self._members) < self._processes:
            self._members[f"process {next(self._ids)}"] = _Process(self._setup)
        return ready

    def send(self, worker: str, number: int, unit: str) -> None:
        """See `Crew.send`."""
        member = self._members[worker]
        member.units.add(number)
        member.send(Work(unit=number, text=unit).model_dump_json())

    def poll(self, seconds: float) -> list[Reply[str]]:
        """See `Crew.poll`.

        Raises:
            LeafwiseError: a process can not do what it was started for.
        """
        by_connection = {member.connection: name for name, member in self._members.items()}
        replies: list[Reply[str]] = []
        for connection in wait(list(by_connection), seconds):
            assert isinstance(connection, Connection)
            replies += self._listen(by_connection[connection])
        return replies

    def abandon(self) -> None:
        """See `Crew.abandon`: the processes that work on something are killed, and replaced when there is work."""
        for name, member in list(self._members.items()):
            if member.units:
                self._members.pop(name).end()

    def close(self) -> None:
        """End all processes. Closing twice is fine."""
        while self._members:
            self._members.popitem()[1].end()

    def _listen(self, name: str) -> list[Reply[str]]:
        member = self._members[name]
        try:
            report = Report.model_validate_json(member.connection.recv_bytes())
        except (EOFError, OSError):
            return self._bury(name)
        if report.failure is not None:
            error = report.failure.as_error(name)
            return self._retire(name, error)
        if report.unit is None:
            member.ready, self._false_starts = True, 0
            return []
        member.units.discard(report.unit)
        return [Reply(name, report.unit, report.result, report.lost)]

    def _retire(self, name: str, error: LeafwiseError) -> list[Reply[str]]:
        """A process gave up: without another one that works that is the end."""
        self._members[name].end()
        replies = self._bury(name, error.message)
        if not any(member.ready for member in self._members.values()):
            raise error
        return replies

    def _bury(self, name: str, why: str = "") -> list[Reply[str]]:
        member = self._members.pop(name)
        self._last_words = why or f"{name} {member.last_words()}"
        if not member.ready:
            self._false_starts += 1
        return [Reply(name, unit, None, self._last_words) for unit in sorted(member.units)]


@dataclass
class _Process:
    """One child."""

    setup: str
    units: set[int] = field(default_factory=set)
    ready: bool = False
    connection: Connection = field(init=False)
    popen: subprocess.Popen[bytes] = field(init=False)
    output: IO[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.connection, theirs = Pipe()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end` or `last_words`
        try:
            with theirs:
                self.popen = subprocess.Popen(
                    [*_COMMAND, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=self.output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is for the parent
                )
        except OSError as error:
            self.connection.close()
            raise BenchmarkError(f"a process can not be started: {error}", "use fewer --processes") from error
        self.send(self.setup)

    def send(self, text: str) -> None:
        """Send text. If the process is gone, reading says so."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(text.encode())

    def end(self) -> None:
        """Kill it; its engine and its sandbox go with it."""
        self.popen.kill()
        self.popen.wait()
        self.connection.close()
        self.output.close()

    def last_words(self) -> str:
        """How it ended, and the last line that it printed."""
        try:
            code = self.popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            return "stopped talking"
        self.output.seek(max(0, self.output.seek(0, os.SEEK_END) - 4096))
        said = self.output.read().decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        self.connection.close()
        self.output.close()
        how = f"was ended by {signal_name(-code)}" if code < 0 else f"ended with status {code}"
        return f"{how}: {said}" if said else how


def _share(processes: int) -> int:
    """Cores of each of so many processes."""
    usable = min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0)))
    return max(1, usable // processes)
