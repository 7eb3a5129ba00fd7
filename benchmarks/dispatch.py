"""Hands units of work to workers that may die, and gives each unit's result exactly once: the rules of retrying.

Threads, processes and the actors of a cluster are crews; what is to be done, and what comes back, is theirs to know.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

Unit = TypeVar("Unit", contravariant=True)
Result = TypeVar("Result")
RETRIES = 2
"""How often a unit whose worker was lost is begun again."""
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Reply(Generic[Result]):
    """What became of a unit on a worker."""

    worker: str
    """The worker."""
    unit: int
    """The unit's number."""
    result: Result | None
    """Its result; None if the worker was lost over it."""
    lost: str = ""
    """How the worker was lost."""


@dataclass(frozen=True)
class Lost:
    """A unit that took its worker along every time."""

    why: str
    """What happened the last time."""


class Crew(Protocol[Unit, Result]):
    """Workers. A crew replaces those that it loses."""

    def ready(self) -> Mapping[str, int]:
        """Workers that take units now, and how many units each does at once.

        Raises:
            LeafwiseError: there is none, and none can be expected.
        """
        ...

    def send(self, worker: str, number: int, unit: Unit) -> None:
        """Give a ready worker a unit. If it is gone, `poll` says so."""
        ...

    def poll(self, seconds: float) -> list[Reply[Result]]:
        """Wait for replies, at most that long. One per unit that was sent: losing a worker loses all its units.

        Raises:
            LeafwiseError: nothing can be done at all.
        """
        ...

    def abandon(self) -> None:
        """Give up the units that are being done: soon, nobody works on them. What is finished can still be polled."""
        ...


def dispatch(
    units: Sequence[Unit], crew: Crew[Unit, Result], retries: int = RETRIES
) -> Iterator[tuple[int, Result | Lost]]:
    """Have units done, and give the number of each with its result when it is there, in any order.

    A unit whose worker was lost is begun again in the end, alone on a worker, so that a unit that kills workers does
    not take others along more than once. Closing the iterator gives up what is not done. After Ctrl-C what was finished
    is still given, before `KeyboardInterrupt` is raised.

    Args:
        units: what to do.
        crew: who does it.
        retries: how often a lost unit is begun again.

    Raises:
        LeafwiseError: the crew can do nothing at all.
    """
    book = _Book(deque(range(len(units))), retries)
    try:
        while book.unfinished:
            for worker, number in book.assign(crew.ready()):
                crew.send(worker, number, units[number])
            for reply in crew.poll(_POLL_SECONDS):
                yield from book.settle(reply)
    except KeyboardInterrupt:
        crew.abandon()
        for reply in crew.poll(0):
            if reply.result is not None:
                yield from book.settle(reply)
        book.flights.clear()
        raise
    finally:
        if book.flights:
            crew.abandon()


@dataclass
class _Book:
    """Which unit is where."""

    fresh: deque[int]
    retries: int
    again: deque[int] = field(default_factory=deque)
    flights: dict[int, str] = field(default_factory=dict)
    losses: Counter[int] = field(default_factory=Counter)

    @property
    def unfinished(self) -> bool:
        return bool(self.fresh or self.again or self.flights)

    def assign(self, slots: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        """Which worker gets which unit now; fresh ones first, to the worker that has least to do."""
        while (worker := self._freest(slots)) is not None:
            if self.fresh:
                number = self.fresh.popleft()
            elif self.again and worker not in self.flights.values():
                number = self.again.popleft()
            else:
                return
            self.flights[number] = worker
            yield worker, number

    def settle(self, reply: Reply[Result]) -> Iterator[tuple[int, Result | Lost]]:
        """Book a reply; gives the unit's outcome if it has one now."""
        if self.flights.pop(reply.unit, None) is None:
            return
        if reply.result is not None:
            yield reply.unit, reply.result
            return
        self.losses[reply.unit] += 1
        if self.losses[reply.unit] > self.retries:
            yield reply.unit, Lost(reply.lost)
        else:
            self.again.append(reply.unit)

    def _freest(self, slots: Mapping[str, int]) -> str | None:
        busy = Counter(self.flights.values())
        alone = {worker for number, worker in self.flights.items() if self.losses[number]}
        free = [worker for worker, n in slots.items() if busy[worker] < n and worker not in alone]
        return min(free, key=lambda worker: busy[worker], default=None)
