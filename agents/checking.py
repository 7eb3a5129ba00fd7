"""Running a candidate: visible examples, generated checks and generated inputs, in one go, in the sandbox."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from leafwise.agents.contracts import Evidence, Failure, Spec
from leafwise.agents.hard_coded import is_hard_coded
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, Status, Verdict

LIMITS = Limits(cpu_seconds=3.0, wall_seconds=12.0, output_chars=2_000)
"""What one candidate may use for all its checks together."""
_CALL_SECONDS = 0.25
"""CPU time of a call that nobody asked for, a generated input or check: most that take longer would never end."""
_MORE_RUNS, _MORE_SECONDS = 2, 1.0
"""Runs, and CPU time of each, to get beyond a generated input on which the candidate hung in spite of that."""
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
    verdict = sandbox.run(Program(source=source, checks=(_LOADED, *tried), setup=spec.setup), limits, cancel)
    results: list[CheckResult | None] = [*verdict.checks[1:]]
    if verdict.checks:
        results += _beyond(source, spec, tried, results, sandbox, limits, cancel)
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


def _beyond(
    source: str,
    spec: Spec,
    tried: Sequence[Check],
    before: Sequence[CheckResult | None],
    sandbox: Sandbox,
    limits: Limits,
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
        rest = tried[at + 1 :]
        limits = limits.model_copy(update={"cpu_seconds": min(limits.cpu_seconds, _MORE_SECONDS)})
        more = sandbox.run(Program(source=source, checks=(_LOADED, *rest), setup=spec.setup), limits, cancel).checks[1:]
        results += more
        if not more:
            break  # it hangs on whatever it is given
    return results


_IN_SETUP = "in the setup: "  # how the sandbox marks an error of `Program.setup`
UNTRIED = "untried"
"""An entry of `Evidence.behaviour` that says nothing: the candidate used up its time before."""
_NO_ANSWER, _RAISES, _RETURNS = "no answer", "raises ", "returns "


def _behaviour(result: CheckResult | None, *, tried: bool) -> str:
    if result is None:
        return _NO_ANSWER if tried else UNTRIED
    if result.error is not None:
        return _RAISES + result.error.split(":")[0]
    return _RETURNS + (result.observed or "None")


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
