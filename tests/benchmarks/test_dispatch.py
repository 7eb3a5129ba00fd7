"""The rules of retrying, on a crew that follows a script: what comes back, how often, and who is given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

import pytest

from leafwise.benchmarks.dispatch import Lost, Reply, dispatch
from leafwise.benchmarks.errors import BenchmarkError


class ScriptedCrew:
    """Does units in order, two at once on each worker; `deadly` units lose their worker so many times."""

    def __init__(self, deadly: dict[str, int] | None = None, workers: int = 2) -> None:
        self.deadly = dict(deadly or {})
        self.names = [f"w{i}" for i in range(workers)]
        self.flights: list[tuple[str, int, str]] = []
        self.together: list[set[str]] = []
        self.abandoned = 0
        self.before_poll: Callable[[], None] = lambda: None

    def ready(self) -> Mapping[str, int]:
        return dict.fromkeys(self.names, 2)

    def send(self, worker: str, number: int, unit: str) -> None:
        self.flights.append((worker, number, unit))
        self.together.append({other for name, _, other in self.flights if name == worker})
        assert len(self.together[-1]) <= 2

    def poll(self, seconds: float) -> list[Reply[str]]:
        if seconds:
            self.before_poll()
        if not self.flights:
            return []
        worker, number, unit = self.flights[0]
        if not self.deadly.get(unit):
            del self.flights[0]
            return [Reply(worker, number, unit.upper())]
        self.deadly[unit] -= 1
        dead = [flight for flight in self.flights if flight[0] == worker]
        self.flights = [flight for flight in self.flights if flight[0] != worker]
        return [Reply(worker, n, None, f"{worker} died of {unit}") for _, n, _ in dead]

    def abandon(self) -> None:
        self.abandoned += 1


def run(units: list[str], crew: ScriptedCrew) -> dict[int, str | Lost]:
    found: dict[int, str | Lost] = {}
    for number, outcome in dispatch(units, crew):
        assert number not in found, "a unit came twice"
        found[number] = outcome
    return found


def test_every_unit_comes_once() -> None:
    crew = ScriptedCrew()
    assert run(list("abcdefg"), crew) == dict(enumerate("ABCDEFG"))
    assert not crew.abandoned
    assert run([], crew) == {}


@pytest.mark.parametrize("times", [1, 2])
def test_a_unit_whose_worker_died_is_done_again(times: int) -> None:
    assert run(list("abcde"), ScriptedCrew({"b": times})) == dict(enumerate("ABCDE"))


def test_a_unit_that_kills_every_worker_is_given_up_and_takes_nobody_along() -> None:
    crew = ScriptedCrew({"a": 99, "d": 99}, workers=1)
    outcomes = run(list("abcdef"), crew)
    assert {n: o for n, o in outcomes.items() if isinstance(o, str)} == {1: "B", 2: "C", 4: "E", 5: "F"}
    assert outcomes[0] == Lost("w0 died of a")
    assert crew.deadly["a"] == crew.deadly["d"] == 96, "begun three times, not more"


def test_what_was_lost_is_done_alone() -> None:
    crew = ScriptedCrew({"a": 2}, workers=1)
    run(list("abcd"), crew)
    first = next(i for i, together in enumerate(crew.together) if "a" in together and i > 1)
    assert all(len(together) == 1 for together in crew.together[first:])


def test_closing_gives_up_what_is_in_flight() -> None:
    crew = ScriptedCrew()
    outcomes = dispatch(list("abcdef"), crew)
    assert list(islice(outcomes, 2)) == [(0, "A"), (1, "B")]
    outcomes.close()  # type: ignore[attr-defined]
    assert crew.abandoned == 1


def test_ctrl_c_gives_what_is_finished_first() -> None:
    crew = ScriptedCrew()

    def interrupt() -> None:
        raise KeyboardInterrupt

    outcomes = dispatch(list("abcdef"), crew)
    assert next(outcomes) == (0, "A")
    crew.before_poll = interrupt
    assert next(outcomes) == (1, "B")
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert crew.abandoned == 1


def test_an_error_of_the_crew_ends_it() -> None:
    crew = ScriptedCrew()

    def fail() -> None:
        raise BenchmarkError("nobody is left")

    crew.before_poll = fail
    outcomes = dispatch(list("ab"), crew)
    with pytest.raises(BenchmarkError, match="nobody is left"):
        next(outcomes)
    assert crew.abandoned == 1
