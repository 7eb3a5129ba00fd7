"""Calls per second between tester and solver: a trivial function, called again and again."""

from __future__ import annotations

import random
import time
from typing import NamedTuple

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.sandbox_bench import SandboxBench
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program

_GOAL = 5000.0
_LIMITS = Limits(cpu_seconds=120, wall_seconds=480)
_SOURCE = "def same(value):\n    return value\n"


class Case(NamedTuple):
    """One program."""

    name: str
    """What it calls the function with, and how."""
    program: Program
    """Passes."""


def measure_calls(bench: SandboxBench, out: Recorder, tell: Tell) -> None:
    """One worker; many checks with one call each, and one check with many calls."""
    cases = make_cases(bench.calls, random.Random(bench.seed))
    rates: dict[str, list[float]] = {case.name: [] for case in cases}
    with open_sandbox(bench.level, workers=1) as sandbox:
        try:
            for number in range(bench.rounds):
                for case in cases:
                    tell(f"round {number + 1} of {bench.rounds}, {case.name}")
                    rates[case.name].append(bench.calls / _seconds(sandbox, case))
        finally:
            for name, several in rates.items():
                out.figure(name, several, "calls/s", at_least=_GOAL)
    out.note(f"{bench.calls} calls, one worker of level {bench.level}; with the start of the program and its verdict")


def make_cases(calls: int, dice: random.Random) -> list[Case]:
    """Integers, strings and lists, each in both forms."""
    values: dict[str, list[object]] = {
        "integers": [dice.randrange(10**6) for _ in range(calls)],
        "strings": [f"text {dice.randrange(10**6)}" for _ in range(calls)],
        "lists of 10": [[dice.randrange(1000) for _ in range(10)] for _ in range(calls)],
    }
    cases = []
    for kind, several in values.items():
        checks = tuple(Check(code=f"same({value!r})", expected=repr(value)) for value in several)
        cases.append(Case(f"{kind}, a check per call", Program(source=_SOURCE, checks=checks)))
        loop = Check(code="for value in VALUES:\n    assert same(value) == value")
        program = Program(source=_SOURCE, setup=f"VALUES = {several!r}", checks=(loop,))
        cases.append(Case(f"{kind}, a loop in one check", program))
    return cases


def _seconds(sandbox: Sandbox, case: Case) -> float:
    started = time.perf_counter()
    verdict = sandbox.run(case.program, _LIMITS)
    if not verdict.passed:
        first = next((check.error for check in verdict.checks if check.error), "")
        raise BenchmarkError(f"{case.name}: {verdict.status}: {verdict.detail} {first}".strip(), "please report this")
    return time.perf_counter() - started
