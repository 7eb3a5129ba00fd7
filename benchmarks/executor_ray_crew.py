"""A crew whose workers are actors of a Ray cluster, one per node, each with a station of its own."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leafwise.benchmarks.dispatch import Reply
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_station import Failure, Report, Station, Work, open_station, report_on
from leafwise.runtime.errors import LeafwiseError

_log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds without a single worker after which a run gives up."""
_FALSE_STARTS = 3  # actors that die one after the other before they are ready, until no more are started
_CONTROL_THREADS = 2
_KNOCK_SECONDS = 5.0


class Cluster:
    """A connection to a Ray cluster, and how its processors are shared out.

    Args:
        address: as for `RayExecutor`.
        workers: actors; None is one per node.

    Raises:
        BenchmarkError: the package `ray` is missing, or there is no such cluster.
    """

    def __init__(self, address: str, workers: int | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise BenchmarkError("the package ray is not installed", "pip install 'leafwise[ray]'") from error
        if address in ("", "local"):
            raise BenchmarkError("--ray needs the address of a running cluster", "use --processes on one machine")
        self.ray: Any = ray
        self._owned = not ray.is_initialized()
        if self._owned:
            _knock(address)
            try:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, configure_logging=False)
            except (ConnectionError, ValueError, RuntimeError, ImportError, OSError) as error:
                raise _nobody(address, error) from error
            _quieten(ray)
        processors = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        processors = [count for count in processors if count]
        if not processors:
            self.close()
            raise BenchmarkError("the Ray cluster has no processors", "start its nodes with --num-cpus")
        self.workers = workers or len(processors)
        """Actors to be started."""
        per_node = math.ceil(self.workers / len(processors))
        self.processors = max(1, min(processors) // per_node)
        """Processors that each actor asks for: so many that no node gets more than its share."""
        self.threads = self.processors if per_node > 1 else None
        """Threads for each actor; None where it has its node for itself."""

    def close(self) -> None:
        """Disconnect. Closing twice is fine."""
        if self._owned and self.ray.is_initialized():
            self.ray.shutdown()


class StationActor:
    """The actor: a station on a node of the cluster. Its methods give JSON."""

    def __init__(self) -> None:
        self._station: Station | None = None

    def place(self) -> str:
        """The node's id, once there is a node."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def open(self, setup: str, expected: str, identity: Callable[[], str]) -> str:
        """Open the station, if the code here is the driver's."""
        try:
            found = identity()
            if found != expected:
                raise BenchmarkError(
                    f"other code runs there: {found}; here {expected}", "install the same leafwise on every node"
                )
            self._station = open_station(setup)
            return Report().model_dump_json()
        # the machine's boundary: the driver raises it
        except Exception as error:
            return Report(failure=Failure.of(error)).model_dump_json()

    def do(self, work: str) -> str:
        """Do a unit."""
        assert self._station is not None
        return report_on(self._station, Work.model_validate_json(work)).model_dump_json()


@dataclass
class _Member:
    """One actor."""

    handle: Any
    first: bool
    placing: Any
    opening: Any = None
    ready: bool = False
    node: str = ""
    flights: dict[Any, int] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"the worker on node {self.node[:8]}" if self.node else "a worker"

    def waits_for(self) -> list[Any]:
        pending = [ref for ref in (self.placing, self.opening) if ref is not None]
        return [*pending, *self.flights]


class RayCrew:
    """A crew of actors that open the same station. See `Crew`.

    Args:
        cluster: where; closed with the crew.
        setup: what they open, as JSON.
        parallel: units that each does at once.
        identity: as for `RayExecutor`.
        patience: as for `RayExecutor`.
    """

    def __init__(
        self, cluster: Cluster, setup: str, parallel: int, identity: Callable[[], str], patience: float = PATIENCE
    ) -> None:
        self._cluster, self._ray = cluster, cluster.ray
        self._setup, self._parallel, self._identity, self._patience = setup, parallel, identity, patience
        self._expected = identity()
        self._ids = itertools.count(1)
        self._members: dict[str, _Member] = {}
        self._target = cluster.workers
        self._false_starts = 0
        self._last_words = "no node has room for a worker"
        self._alone_since: float | None = None

    @property
    def in_flight(self) -> dict[str, int]:
        """Units that are being done on each node that is ready, by the node's id."""
        found: Counter[str] = Counter()
        for member in self._members.values():
            if member.ready:
                found[member.node] += len(member.flights)
        return dict(found)

    def ready(self) -> Mapping[str, int]:
        """See `Crew.ready`.

        Raises:
            BenchmarkError: there was no node for a worker for too long, or workers die while they open.
        """
        while len(self._members) < self._target and self._false_starts < _FALSE_STARTS:
            self._start()
        if not any(member.placing is None for member in self._members.values()):
            self._alone_since = self._alone_since or time.monotonic()
            if not self._members or time.monotonic() - self._alone_since > self._patience:
                raise BenchmarkError(
                    f"no worker is left on the Ray cluster: {self._last_words}",
                    "look at `ray status`, start a node, and resume the run",
                )
        else:
            self._alone_since = None
        return {name: self._parallel for name, member in self._members.items() if member.ready}

    def send(self, worker: str, number: int, unit: str) -> None:
        """See `Crew.send`."""
        member = self._members[worker]
        member.flights[member.handle.do.remote(Work(unit=number, text=unit).model_dump_json())] = number

    def poll(self, seconds: float) -> list[Reply[str]]:
        """See `Crew.poll`.

        Raises:
            LeafwiseError: a node has another model or other code, or can not open what it should.
        """
        by_ref = {ref: name for name, member in self._members.items() for ref in member.waits_for()}
        if not by_ref:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(by_ref), num_returns=1, timeout=seconds)
        replies: list[Reply[str]] = []
        for ref in done:
            replies += self._take(by_ref[ref], ref)
        return replies

    def abandon(self) -> None:
        """See `Crew.abandon`: the actors that work on something are killed, and replaced when there is work."""
        for name, member in list(self._members.items()):
            if member.flights:
                self._kill(self._members.pop(name))

    def close(self) -> None:
        """End all actors, and disconnect. Closing twice is fine."""
        while self._members:
            self._kill(self._members.popitem()[1])
        self._cluster.close()

    def _start(self) -> None:
        number = next(self._ids)
        actor = self._ray.remote(StationActor).options(
            num_cpus=self._cluster.processors,
            max_concurrency=self._parallel + _CONTROL_THREADS,
            scheduling_strategy="SPREAD",
        )
        handle = actor.remote()
        self._members[f"worker {number}"] = _Member(handle, number <= self._cluster.workers, handle.place.remote())

    def _take(self, name: str, ref: Any) -> list[Reply[str]]:
        """What a reference that is ready says."""
        member = self._members[name]
        try:
            text = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._bury(name, _last_line(error))
        if ref == member.placing:
            member.placing, member.node = None, text
            member.opening = member.handle.open.remote(self._setup, self._expected, self._identity)
            return []
        report = Report.model_validate_json(text)
        if report.failure is not None:
            return self._retire(name, report.failure.as_error(member.where))
        if ref == member.opening:
            member.opening, member.ready, self._false_starts = None, True, 0
            return []
        number = member.flights.pop(ref)
        return [Reply(name, number, report.result, report.lost)]

    def _retire(self, name: str, error: LeafwiseError) -> list[Reply[str]]:
        """An actor gave up. At the start that is an error; later, the others go on without that node."""
        first = self._members[name].first
        replies = self._bury(name, error.message)
        self._target -= 1
        if first or not self._target:
            raise error
        _log.warning("%s; going on without it", error.message)
        return replies

    def _bury(self, name: str, why: str) -> list[Reply[str]]:
        member = self._members.pop(name)
        self._kill(member)
        self._last_words = f"{member.where}: {why}"
        if member.ready:
            _log.warning("%s was lost (%s); its work is done again", member.where, why)
        else:
            self._false_starts += 1
        return [Reply(name, unit, None, self._last_words) for unit in sorted(member.flights.values())]

    def _kill(self, member: _Member) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(member.handle, no_restart=True)


def _knock(address: str) -> None:
    """Find out soon that nobody is there: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> BenchmarkError:
    return BenchmarkError(f"no Ray cluster answers at {address}: {_last_line(error)}", "ray start --head --port 6379")


def _quieten(ray: Any) -> None:
    """Ray tells of every node that dies on standard output, which is the command's own, and has no switch for that."""
    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda data, **_: _log.debug("%s", data)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:200]
