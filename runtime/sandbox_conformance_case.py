"""What a case of the conformance suite is: something to do with a sandbox, and what every sandbox must answer."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status, Verdict

Factory = Callable[[], Sandbox]

LIVE = frozenset({SandboxLevel.FULL, SandboxLevel.LANDLOCK, SandboxLevel.NONE})
"""The levels at which something runs."""
ANY = LIVE | {SandboxLevel.SCRIPTED}
CONTAINED = frozenset({SandboxLevel.FULL, SandboxLevel.LANDLOCK})
WRITABLE = frozenset({SandboxLevel.FULL})
"""The level that gives programs a directory of their own."""
NOT_PASSED = tuple(status for status in Status if status is not Status.PASSED)

_GRACE_SECONDS = 5.0  # to notice that the wall-clock limit is reached, on a busy machine
_MAX_OBSERVED, _MAX_SHOWN = 1000, 300


class Answer(Contract):
    """What a verdict has to say; a field that is None leaves it open."""

    status: Status | tuple[Status, ...] = Status.PASSED
    """How the program ends, or how it may end."""
    passed: tuple[bool, ...] | None = None
    """Of each check that is tried, in order, whether it passes."""
    observed: tuple[str | None, ...] | None = None
    """`CheckResult.observed` of each."""
    errors: tuple[str | None, ...] | None = None
    """`CheckResult.error` of each."""
    lines: tuple[int | None, ...] | None = None
    """`CheckResult.line` of each."""
    detail: str | None = None
    """A regular expression for the whole detail."""
    output: tuple[str, ...] = ()
    """Texts that are somewhere in the output."""
    output_cut: bool | None = None
    """Whether output is dropped."""
    seconds: float = 0.0
    """The least wall-clock time."""
    cpu_seconds: float = 0.0
    """The least CPU time."""

    def complaints(self, verdict: Verdict) -> Iterator[str]:
        """What is wrong with a verdict, one line each."""
        allowed = self.status if isinstance(self.status, tuple) else (self.status,)
        if verdict.status not in allowed:
            reasons = [check.error or check.observed or "" for check in verdict.checks if not check.passed]
            yield differs("status", " or ".join(allowed), " / ".join([verdict.status, verdict.detail, *reasons]))
        for what, expected, observed in (
            ("checks passed", self.passed, tuple(check.passed for check in verdict.checks)),
            ("observed", self.observed, tuple(check.observed for check in verdict.checks)),
            ("errors", self.errors, tuple(check.error for check in verdict.checks)),
            ("lines", self.lines, tuple(check.line for check in verdict.checks)),
            ("output_cut", self.output_cut, verdict.output_cut),
        ):
            if expected is not None and expected != observed:
                yield differs(what, expected, observed)
        if self.detail is not None and not re.fullmatch(self.detail, verdict.detail):
            yield differs("detail", self.detail, verdict.detail)
        yield from (differs("output", text, verdict.output) for text in self.output if text not in verdict.output)
        for what, least, measured in (
            ("seconds", self.seconds, verdict.seconds),
            ("cpu_seconds", self.cpu_seconds, verdict.cpu_seconds),
        ):
            if measured < least:
                yield differs(what, f"at least {least:g}", measured)


PASSES = Answer()
USUAL = Limits()


@dataclass(frozen=True)
class Case:
    """One program, and the answer to it."""

    name: str
    program: Program
    answer: Answer = PASSES
    limits: Limits = USUAL
    levels: frozenset[SandboxLevel] = ANY
    """The levels that have to answer so."""

    def complaints(self, sandbox: Sandbox, _: Factory) -> Iterator[str]:
        """What the sandbox does wrong, one line each."""
        return judge(sandbox, self.program, self.answer, self.limits)


@dataclass(frozen=True)
class Steps:
    """A case that is more than one program: a function that does something and yields its complaints."""

    complaints: Callable[[Sandbox, Factory], Iterator[str]]
    levels: frozenset[SandboxLevel] = ANY

    @property
    def name(self) -> str:
        """That of the function, with dashes."""
        return self.complaints.__name__.replace("_", "-")


def tried(source: str, *checks: Check | str, setup: str = "") -> Program:
    """A program; a check that is a string must not raise."""
    made = tuple(check if isinstance(check, Check) else Check(code=check) for check in checks)
    return Program(source=source, checks=made, setup=setup)


def equal(code: str, expected: str) -> Check:
    """The check that an expression has a value."""
    return Check(code=code, expected=expected)


def raises(code: str, name: str) -> Check:
    """The check that code raises an exception of a type with this name."""
    return Check(code=code, raises=name)


def differs(what: str, expected: object, observed: object) -> str:
    """A complaint."""
    shown = [text if isinstance(text, str) else repr(text) for text in (expected, observed)]
    expected, observed = (text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..." for text in shown)
    return f"{what}: expected {expected}, observed {observed or 'nothing'}"


def judge(
    sandbox: Sandbox,
    program: Program,
    answer: Answer = PASSES,
    limits: Limits = USUAL,
    cancel: threading.Event | None = None,
) -> Iterator[str]:
    """Runs a program; complains where the verdict is not the answer, or breaks a law that holds for every verdict."""
    start = time.monotonic()
    verdict = sandbox.run(program, limits, cancel)
    took = time.monotonic() - start
    if took > limits.wall_seconds + _GRACE_SECONDS:
        yield differs("seconds of the call", f"at most {limits.wall_seconds:g} + {_GRACE_SECONDS:g}", took)
    if verdict.level is not sandbox.level:
        yield differs("level of the verdict", sandbox.level, verdict.level)
    yield from (differs("every verdict", law, verdict) for law, holds in _laws(program, limits, verdict) if not holds)
    yield from answer.complaints(verdict)


def _laws(program: Program, limits: Limits, verdict: Verdict) -> Iterator[tuple[str, bool]]:
    """What holds for every verdict, whatever the program."""
    results = verdict.checks
    all_passed = len(results) == len(program.checks) and all(result.passed for result in results)
    yield "at most one result for each check", len(results) <= len(program.checks)
    yield "passed only if every check did", all_passed or not verdict.passed
    yield "failed only if some check did", not (all_passed and results and verdict.status is Status.FAILED)
    yield "no results of checks if it did not load", not (results and verdict.status is Status.LOAD_ERROR)
    yield "no more output than output_chars", len(verdict.output) <= limits.output_chars
    yield "text that can be written as JSON", _is_json(verdict)
    yield "observed values cut", all(len(result.observed or "") <= _MAX_OBSERVED for result in results)
    traced = [result for result in results if result.trace]
    yield (
        "traces of failed checks only, where asked for",
        not traced or (program.trace and not any(result.passed for result in traced)),
    )


def _is_json(verdict: Verdict) -> bool:
    try:
        verdict.model_dump_json()
    except ValueError:  # half a surrogate pair in some text
        return False
    return True
