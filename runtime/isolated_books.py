"""What the parent of an engine's process keeps in its books: requests in flight, calls that wait, the meters' sum."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from leafwise.runtime.contracts import Completion, Request
from leafwise.runtime.engine import Generation
from leafwise.runtime.engine_wire import Answer, Ended, Refused
from leafwise.runtime.errors import EngineCrashedError, LeafwiseError
from leafwise.runtime.meter import Meter


class Flight(Generation):
    """A request that the process has.

    Args:
        request: what was asked.
        on_cancel: tells the process.
    """

    def __init__(self, request: Request, on_cancel: Callable[[], None]) -> None:
        super().__init__(request)
        self.accepted: Future[None] = Future()
        """Done when the process took or refused it; until then nobody has this handle."""
        self.again = False
        """Whether it was submitted to a second process."""
        self.when_cancelled(on_cancel)
        self._submitted = time.monotonic()
        self._delay = 0.0

    def accept(self) -> None:
        """The process took it."""
        if not self.accepted.done():
            self.accepted.set_result(None)

    def resubmission(self) -> Request:
        """The request for a second process: the time until the deadline is shorter by what has passed."""
        self.again, self._delay = True, time.monotonic() - self._submitted
        deadline = self.request.deadline
        if deadline is None:
            return self.request
        return self.request.model_copy(update={"deadline": max(0.0, deadline - self._delay)})

    def complete(self, completion: Completion) -> None:
        """It is answered."""
        self.accept()
        if self.again:  # times count from the first submission
            usage = completion.usage
            times = {"seconds": usage.seconds + self._delay}
            if usage.first_token_seconds is not None:
                times["first_token_seconds"] = usage.first_token_seconds + self._delay
            completion = completion.model_copy(update={"usage": usage.model_copy(update=times)})
        self.finish(completion)

    def fail(self, error: LeafwiseError) -> None:
        """It failed: the handle raises that, or `submit` where the request was not even accepted."""
        if self.started:
            self.accept()
        if self.accepted.done():
            self.finish(error)
        else:
            self.accepted.set_exception(error)


class Books:
    """Requests and calls by number. A number that isn't there belongs to something that is over."""

    def __init__(self) -> None:
        self.flights: dict[int, Flight] = {}
        """Requests that have not ended."""
        self.calls: dict[int, Future[Answer]] = {}
        """Calls that wait for their answer."""

    def answer(self, report: Answer) -> None:
        """A call succeeded, or a request was accepted."""
        if flight := self.flights.get(report.id):
            flight.accept()
        elif call := self.calls.pop(report.id, None):
            call.set_result(report)

    def refuse(self, report: Refused) -> LeafwiseError | None:
        """A call failed, or a request was refused. See `end` for what is returned."""
        error = report.failure.as_error()
        if call := self.calls.pop(report.id, None):
            call.set_exception(error)
            return None
        return self._fail(report.id, error)

    def end(self, report: Ended) -> LeafwiseError | None:
        """A request ended.

        Returns:
            An error that the engine inside does not survive, so that the process is of no use any more.
        """
        if report.completion is None:
            # a failure without a completion; neither of the two would be a bug of the process
            failure = report.failure.as_error() if report.failure else EngineCrashedError("a request ended as nothing")
            return self._fail(report.id, failure)
        if flight := self.flights.pop(report.id, None):
            flight.complete(report.completion)
        return None

    def lose_process(self, *, for_good: bool) -> Callable[[LeafwiseError], None]:
        """Take out everything that the process took along: calls, requests it had begun, and those that lost two.

        Args:
            for_good: take the others too: there will be no further process.

        Returns:
            Fails what was taken out, with errors of the same content; call it without holding a lock.
        """
        calls = list(self.calls.values())
        self.calls.clear()
        lost = {i: f for i, f in self.flights.items() if for_good or f.started or f.again}
        for identity in lost:
            del self.flights[identity]

        def fail(error: LeafwiseError) -> None:
            for call in calls:
                call.set_exception(_another(error))
            for flight in lost.values():
                flight.fail(_another(error))

        return fail

    def _fail(self, identity: int, error: LeafwiseError) -> LeafwiseError | None:
        flight = self.flights.get(identity)
        if flight is None:
            return None
        fatal = error if isinstance(error, EngineCrashedError) else None
        if fatal is None or flight.started:  # the others stay, for the next process
            del self.flights[identity]
            flight.fail(error)
        return fatal


class MeterSum:
    """The sum of the meters of one process after the other."""

    def __init__(self) -> None:
        self._opened = time.monotonic()
        self._closed: float | None = None
        self._dead = Meter()
        self._last: Meter | None = None
        self.restarts = 0
        """Processes after the first."""

    def update(self, meter: Meter) -> None:
        """What the present process says."""
        self._last = meter

    def settle(self) -> None:
        """The present process is over."""
        self._dead, self._last = self._sum(), None

    def close(self) -> None:
        """Stop the clock."""
        self._closed = self._closed or time.monotonic()

    def total(self) -> Meter:
        """What was done so far."""
        seconds = (self._closed or time.monotonic()) - self._opened
        return self._sum().model_copy(update={"restarts": self.restarts, "seconds": seconds})

    def _sum(self) -> Meter:
        dead, last = self._dead, self._last
        if last is None:
            return dead
        counts = {name: getattr(dead, name) + getattr(last, name) for name in _COUNTS}
        energy = [m.energy_joules for m in (dead, last) if m.energy_joules is not None]
        peaks = [m.peak_memory_bytes for m in (dead, last) if m.peak_memory_bytes is not None]
        means = [(m.mean_memory_bytes, m.seconds) for m in (dead, last) if m.mean_memory_bytes is not None]
        weight = sum(seconds for _, seconds in means)
        return Meter(
            **counts,
            energy_joules=sum(energy) if energy else None,
            peak_memory_bytes=max(peaks, default=None),
            mean_memory_bytes=sum(mean * seconds for mean, seconds in means) / weight if weight else None,
        )


_COUNTS = sorted(
    set(Meter.model_fields) - {"restarts", "energy_joules", "peak_memory_bytes", "mean_memory_bytes"}
)  # `seconds` too: the processes' own, as weights


def _another(error: LeafwiseError) -> LeafwiseError:
    """The same error for somebody else: each raise adds to an error's traceback."""
    return type(error)(error.message, error.hint)
