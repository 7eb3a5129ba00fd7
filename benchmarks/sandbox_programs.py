"""Programs of every kind that a sandbox meets, each with what must come out of it."""

from __future__ import annotations

import random
from typing import NamedTuple

from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status, Verdict

_LIMITS = Limits()
_LINES = "".join(f"line {number} of what a program prints\n" for number in range(100))


class Kind(NamedTuple):
    """A kind of program."""

    name: str
    """For tables."""
    weight: float
    """How often it comes, beside the others."""
    program: Program
    """One of its kind."""
    status: Status
    """How it must end."""
    limits: Limits = _LIMITS
    """What it may use."""
    output: str = ""
    """What it must have printed."""

    def fault(self, verdict: Verdict) -> str:
        """What is wrong with a verdict on it; empty when nothing is."""
        if verdict.status is not self.status:
            return f"{verdict.status}: {verdict.detail}"
        return "" if verdict.output == self.output else f"{verdict.status}, with other output"


def make_kinds(level: SandboxLevel) -> list[Kind]:
    """The kinds; without those that need a scratch directory where the level has none."""
    add, raising = "def f(a, b):\n    return a + b\n", "def f(key):\n    return {}[key]\n"
    endless, sleeping = "def f():\n    while True:\n        pass\n", "import time\ntime.sleep(60)\n"
    kinds = [
        Kind("passes", 40, _program(add, ("f(1, 2)", "3"), ("f('a', 'b')", "'ab'")), Status.PASSED),
        Kind("fails", 20, _program(add, ("f(1, 2)", "3"), ("f(2, 2)", "5")), Status.FAILED),
        Kind("syntax error", 5, _program("def f(:\n", ("f()", "1")), Status.LOAD_ERROR),
        Kind("fails to import", 5, _program("import no_such_module\n", ("f()", "1")), Status.LOAD_ERROR),
        Kind("raises", 5, _program(raising, ("f(1)", "1")), Status.FAILED),
        Kind("raises as it must", 5, _raises(raising, "f(1)", "KeyError"), Status.PASSED),
        Kind("exits", 3, _program("import os\ndef f():\n    os._exit(3)\n", ("f()", "1")), Status.CRASHED),
        Kind("aborts", 3, _program("import os\ndef f():\n    os.abort()\n", ("f()", "1")), Status.CRASHED),
        Kind("prints", 8, _printing(), Status.PASSED, output=_LINES),
        Kind("computes on", 0.025, _program(endless, ("f()", "1")), Status.TIMEOUT, Limits(cpu_seconds=0.3)),
        Kind("sleeps on", 0.025, _program(sleeping, ("f()", "1")), Status.TIMEOUT, Limits(wall_seconds=1.0)),
    ]
    return kinds if level is SandboxLevel.LANDLOCK else [*kinds, Kind("writes files", 6, _writing(), Status.PASSED)]


def draw(kinds: list[Kind], count: int, dice: random.Random) -> list[Kind]:
    """So many programs; with kept and with fresh testers."""
    drawn = dice.choices(kinds, [kind.weight for kind in kinds], k=count)
    return [
        kind._replace(program=kind.program.model_copy(update={"trusted_checks": dice.random() < 0.5})) for kind in drawn
    ]


def _program(source: str, *checks: tuple[str, str]) -> Program:
    return Program(source=source, checks=tuple(Check(code=code, expected=expected) for code, expected in checks))


def _raises(source: str, code: str, error: str) -> Program:
    return Program(source=source, checks=(Check(code=code, raises=error),))


def _printing() -> Program:
    return _program(f"def f():\n    print({_LINES!r}, end='')\n    return 1\n", ("f()", "1"))


def _writing() -> Program:
    """Finds an empty directory, and leaves one that is not."""
    source = (
        "from pathlib import Path\n"
        "def f(text):\n"
        "    before = len(list(Path().iterdir()))\n"
        "    for number in range(3):\n"
        "        Path(f'{number}.txt').write_text(text)\n"
        "    return before, Path('2.txt').read_text()\n"
    )
    return _program(source, ("f('hello')", "(0, 'hello')"))
