"""Running a candidate: visible examples, generated checks and generated inputs, in one go, in the sandbox."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from leafwise.agents.contracts import Evidence, Failure, Spec
from leafwise.agents.hard_coded import is_hard_coded
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, Status, Verdict
from leafwise.runtime.syntax import literal

LIMITS = Limits(cpu_seconds=3.0, wall_seconds=12.0, output_chars=2_000)
"""What one candidate may use for all its checks together."""
_CALL_SECONDS = 0.25
"""CPU time of a call that nobody asked for, a generated input or check: most that take longer would never end."""
_MORE_RUNS, _MORE_SECONDS = 2, 1.0
"""Runs, and CPU time of each, to get beyond a generated input on which the candidate hung in spite of that."""
_LEAST_WALL = 0.5
"""Wall-clock time below which no further run is begun."""
_LOADED = Check(code="None")
"""Tried first: it has a result if, and only if, the module loaded; later ones may hang in the candidate's functions."""


def examine(
    source: str,
    spec: Spec,
    sandbox: Sandbox,
    *,
    checks: Sequence[Check] = (),
    inputs: Sequence[str] = (),
    limits: Limits = LIMITS,
    cancel: threading.Event | None = None,
) -> Evidence:
    """Run a candidate and say what was seen.

    Args:
        source: the candidate's module.
        spec: what it should do; its examples are run first, so that a hang on a strange input can't hide them.
        sandbox: where to run it.
        checks: generated checks.
        inputs: generated call expressions whose outcomes are recorded as its behaviour.
        limits: what the program may use.
        cancel: kills the program when set.

    Raises:
        SandboxError: the sandbox failed; nothing is known about the candidate.
    """
    brief = [check.model_copy(update={"cpu_seconds": _CALL_SECONDS}) for check in checks]
    tried = (*spec.examples, *brief, *(Check(code=call, cpu_seconds=_CALL_SECONDS) for call in inputs))
    first, second = len(spec.examples), len(spec.examples) + len(checks)
    verdict = sandbox.run(_program(source, spec, tried), limits, cancel)
    results: list[CheckResult | None] = [*verdict.checks[1:]]
    if verdict.checks:
        results += _beyond(source, spec, tried, results, sandbox, limits, limits.wall_seconds - verdict.seconds, cancel)
    reached = len(results)
    results += [None] * (len(tried) - len(results))
    ended = verdict.status not in (Status.PASSED, Status.FAILED)
    passed = [r is not None and r.passed for r in results]
    return Evidence(
        loads=bool(verdict.checks),
        examples_passed=sum(passed[:first]),
        examples_total=first,
        checks_passed=sum(passed[first:second]),
        checks_total=len(checks),
        check_results=tuple(passed[first:second]),
        hard_coded=is_hard_coded(source, spec.entry_point),
        behaviour=tuple(_behaviour(r, tried=second + i < reached) for i, r in enumerate(results[second:])),
        failure=first_failure(spec.examples, results[:first], verdict),
        detail=verdict.detail if ended else "",
        level=verdict.level,
    )


def _program(source: str, spec: Spec, tried: Sequence[Check]) -> Program:
    return Program(source=source, checks=(_LOADED, *tried), setup=spec.setup, entry_point=spec.entry_point)


def _beyond(
    source: str,
    spec: Spec,
    tried: Sequence[Check],
    before: Sequence[CheckResult | None],
    sandbox: Sandbox,
    limits: Limits,
    wall_left: float,
    cancel: threading.Event | None,
) -> list[CheckResult | None]:
    """Results beyond a generated check or input on which the candidate hung or died, None for that one.

    Nobody asked for that input, and one that hangs must not hide how the candidate behaves on all others. A hang in a
    visible example settles what the candidate is worth, and costs no further time.
    """
    results: list[CheckResult | None] = []
    for _ in range(_MORE_RUNS):
        at = len(before) + len(results)
        if not len(spec.examples) <= at < len(tried) or (cancel is not None and cancel.is_set()):
            break
        results.append(None)
        if wall_left < _LEAST_WALL:
            break
        rest = tried[at + 1 :]
        cpu = min(limits.cpu_seconds, _MORE_SECONDS)
        limits = limits.model_copy(update={"cpu_seconds": cpu, "wall_seconds": wall_left})
        verdict = sandbox.run(_program(source, spec, rest), limits, cancel)
        wall_left -= verdict.seconds
        results += (more := verdict.checks[1:])
        if not more:
            break  # it hangs on whatever it is given
    return results


_IN_SETUP = "in the setup: "  # how the sandbox marks an error of `Program.setup`
UNTRIED = "untried"
"""An entry of `Evidence.behaviour` that says nothing: the candidate used up its time before, or gave no plain data."""
_MAY_DIFFER = re.compile(r"[{.]|True|False|set\(")
_OPAQUE = ": not plain data>"
"""Ends the text of a value such as a generator, of which nobody can tell what is in it."""
_DIGITS = 12
"""Significant digits of floats that are compared: sums in another order differ behind them."""
_EXACT = 2.0**53
"""Whole numbers below are the same as integers and as floats."""
_NO_ANSWER, _RAISES, _RETURNS = "no answer", "raises ", "returns "


def _behaviour(result: CheckResult | None, *, tried: bool) -> str:
    if result is None:
        return _NO_ANSWER if tried else UNTRIED
    if result.error is not None:
        return _RAISES + result.error.split(":")[0]
    if _OPAQUE in (result.observed or ""):
        return UNTRIED
    return _RETURNS + _one_text(result.observed or "None")


def _one_text(observed: str) -> str:
    """A value's `repr`, the same for equal values: sets and dictionaries in one order, `2.0` and `True` as numbers."""
    if not _MAY_DIFFER.search(observed):
        return observed
    try:
        return _canonical(literal(observed))
    except (ValueError, RecursionError):
        return observed  # no literal, or its middle is left out


def _canonical(value: object) -> str:
    match value:
        case bool():
            return repr(int(value))
        case float() if value.is_integer() and abs(value) < _EXACT:
            return repr(int(value))
        case float():
            return f"{value:.{_DIGITS}g}"
        case list():
            return f"[{', '.join(map(_canonical, value))}]"
        case tuple():
            return f"({', '.join(map(_canonical, value))}{',' if len(value) == 1 else ''})"
        case set():
            return f"set({', '.join(sorted(map(_canonical, value)))})"
        case dict():
            return f"{{{', '.join(sorted(f'{_canonical(k)}: {_canonical(v)}' for k, v in value.items()))}}}"
        case _:
            return repr(value)


def is_nothing(behaviour: str) -> bool:
    """Whether an entry of `Evidence.behaviour` is the value of a function that returns nothing."""
    return behaviour == f"{_RETURNS}None"


def is_failure(behaviour: str) -> bool:
    """Whether an entry of `Evidence.behaviour` is no returned value."""
    return not behaviour.startswith(_RETURNS)


def first_failure(examples: Sequence[Check], results: Sequence[CheckResult | None], verdict: Verdict) -> Failure | None:
    """The first check that failed, or that the program did not live to; None if all passed.

    Args:
        examples: the checks, in order.
        results: what each gave; None for one that was not tried.
        verdict: of the whole program.
    """
    for example, result in zip(examples, results, strict=True):
        if result is None:
            observed = verdict.detail or "no answer within the limits"
        elif not result.passed:
            observed = result.error or result.observed or "it failed"
            if observed.startswith(_IN_SETUP):
                observed = f"an error before any test, in the tests file's own code: {observed.removeprefix(_IN_SETUP)}"
        else:
            continue
        expected = f"raises {example.raises}" if example.raises else example.expected or "no exception"
        return Failure(
            code=example.code, expected=expected, observed=observed[:300], line=result.line if result else None
        )
    return None
