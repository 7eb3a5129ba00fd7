"""The shipped suite on our own sandboxes, and on broken ones: it has to tell them apart."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime import sandbox_conformance
from leafwise.runtime.errors import SandboxBrokenError
from leafwise.runtime.handle import Handle
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_conformance import CASES, CaseResult, check_conformance
from leafwise.runtime.sandbox_conformance_case import USUAL
from leafwise.runtime.sandbox_contracts import CheckResult, Limits, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

pytestmark = pytest.mark.sandbox
NAMES = [case.name for case in CASES]
LIVE_LEVELS = [SandboxLevel.FULL, SandboxLevel.LANDLOCK, SandboxLevel.NONE]


class Wrapped:
    """Another sandbox, with a record of the first verdict on each program, and a level that may be a false claim."""

    def __init__(self, inner: Sandbox, verdicts: dict[Program, Verdict], level: SandboxLevel | None = None) -> None:
        self._inner, self._verdicts = inner, verdicts
        self.level = level or inner.level

    def run(self, program: Program, limits: Limits = USUAL, cancel: threading.Event | None = None) -> Verdict:
        verdict = self._inner.run(program, limits, cancel).model_copy(update={"level": self.level})
        self._verdicts.setdefault(program, verdict)
        return verdict

    def submit(self, program: Program, limits: Limits = USUAL) -> Handle[CheckResult, Verdict]:
        return self._inner.submit(program, limits)

    def close(self) -> None:
        self._inner.close()


@cache
def tried(level: SandboxLevel) -> tuple[dict[str, CaseResult], dict[Program, Verdict]]:
    """Results by case and, for the first run of each program, its verdict."""
    verdicts: dict[Program, Verdict] = {}
    results = check_conformance(lambda: Wrapped(next(open_or_skip(level)), verdicts))
    return {result.name: result for result in results}, verdicts


def recorded(program: Program) -> Verdict:
    """The real sandbox's verdict; at the level that every machine has."""
    return tried(SandboxLevel.NONE)[1][program].model_copy(update={"level": SandboxLevel.SCRIPTED})


@cache
def tried_scripted() -> dict[str, CaseResult]:
    return {result.name: result for result in check_conformance(lambda: ScriptedSandbox(recorded))}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [*LIVE_LEVELS, SandboxLevel.SCRIPTED])
def test_case(level: SandboxLevel, name: str) -> None:
    result = (tried_scripted() if level is SandboxLevel.SCRIPTED else tried(level)[0])[name]
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.passed, result.detail


def test_each_level_is_asked_for_what_it_gives() -> None:
    skipped = {level: {r.name for r in tried(level)[0].values() if r.skipped} for level in LIVE_LEVELS}
    assert skipped[SandboxLevel.FULL] == {"no-writable-directory"}
    assert "a-scratch-directory" in skipped[SandboxLevel.LANDLOCK]
    assert {"forks", "nothing-outside-is-reached"} <= skipped[SandboxLevel.NONE]
    assert skipped[SandboxLevel.FULL] | skipped[SandboxLevel.LANDLOCK] <= skipped[SandboxLevel.NONE]


def test_only_some() -> None:
    (result,) = check_conformance(lambda: ScriptedSandbox(recorded), only={"raises"})
    assert result.describe() == "passed   raises"


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_nothing_rests_on_assert() -> None:
    """`python -O` leaves the statement out."""
    for path in Path(sandbox_conformance.__file__).parent.glob("sandbox_conformance*.py"):
        assert not [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Assert)]


def failures(factory: Callable[[], Sandbox], only: Iterable[str] = NAMES) -> dict[str, CaseResult]:
    """Of the cases that our own sandbox passes, those that a broken one fails."""
    results = check_conformance(factory, only=set(only))
    return {result.name: result for result in results if result.failed}


def passes_all(program: Program, verdict: Verdict) -> Verdict:
    checks = tuple(CheckResult(passed=True) for _ in program.checks)
    return Verdict(status=Status.PASSED, checks=checks, level=verdict.level)


def says_passed(_: Program, verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"status": Status.PASSED})


def drops_a_check(_: Program, verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"checks": verdict.checks[:-1]})


def lets_time_outs_pass(program: Program, verdict: Verdict) -> Verdict:
    return passes_all(program, verdict) if verdict.status is Status.TIMEOUT else verdict


def takes_crashes_for_failures(_: Program, verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"status": Status.FAILED}) if verdict.status is Status.CRASHED else verdict


def names_another_level(_: Program, verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"level": SandboxLevel.FULL})


def shows_whole_values(_: Program, verdict: Verdict) -> Verdict:
    checks = tuple(check.model_copy(update={"observed": (check.observed or "") * 2}) for check in verdict.checks)
    return verdict.model_copy(update={"checks": checks})


def keeps_all_output(_: Program, verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"output": verdict.output * 3, "output_cut": False})


def raises_for_a_crash(_: Program, verdict: Verdict) -> Verdict:
    if verdict.status is Status.CRASHED:
        raise SandboxBrokenError("gone")
    return verdict


def knows_no_answer(program: Program, _: Verdict) -> Verdict:
    raise LookupError(program.source[:20])


@pytest.mark.parametrize(
    ("fault", "catching"),
    [
        (passes_all, {"expected-value", "load-syntax-error", "exit-in-a-check", "cpu-limit", "forges-a-pass-by-exit"}),
        (says_passed, {"expected-value", "load-raises", "native-crash", "wall-limit", "forges-a-pass-by-printing"}),
        (drops_a_check, {"expected-value", "raises", "stop-at-first-failure", "classes", "constants"}),
        (lets_time_outs_pass, {"cpu-limit", "cpu-limit-keeps-earlier-checks", "wall-limit"}),
        (takes_crashes_for_failures, {"exit-while-loading", "native-crash", "exit-that-a-check-swallows"}),
        (names_another_level, {"no-checks", "expected-value", "cpu-limit", "several-threads-at-once"}),
        (shows_whole_values, {"observed-is-cut", "large-values"}),
        (keeps_all_output, {"output-is-cut"}),
        (raises_for_a_crash, {"exit-in-a-check", "native-crash", "an-honest-program-passes-after-any-other"}),
        (knows_no_answer, {"no-checks", "programs-do-not-see-each-other", "several-threads-at-once"}),
    ],
)
def test_a_broken_sandbox_is_caught(fault: Callable[[Program, Verdict], Verdict], catching: set[str]) -> None:
    failed = failures(lambda: ScriptedSandbox(lambda program: fault(program, recorded(program))))
    assert catching <= set(failed)
    assert all("expected" in result.detail and "observed" in result.detail for result in failed.values())


def test_a_sandbox_that_never_closes_is_caught() -> None:
    class Open(ScriptedSandbox):
        def close(self) -> None:
            pass

    assert set(failures(lambda: Open(recorded))) == {"no-run-after-close"}


def test_a_level_that_is_only_claimed_is_caught() -> None:
    """Without walls, every try succeeds; each does no harm."""
    tries = {"reads-etc-passwd", "opens-a-socket", "writes-outside", "forks", "runs-a-program", "signals-its-parent"}
    tries |= {"nothing-outside-is-reached", "no-writable-directory"}
    failed = failures(lambda: Wrapped(next(open_or_skip(SandboxLevel.NONE)), {}, SandboxLevel.LANDLOCK), tries)
    assert set(failed) == tries
    assert "files outside: expected {'secret': 'kept'}" in failed["nothing-outside-is-reached"].detail
