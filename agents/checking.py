"""Running a candidate: visible examples, generated checks and generated inputs, in one go, in the sandbox."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from leafwise.agents.contracts import Evidence, Failure, Spec
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, Status, Verdict

LIMITS = Limits(cpu_seconds=3.0, wall_seconds=12.0, output_chars=2_000)
"""What one candidate may use for all its checks together."""

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
    tried = (*spec.examples, *checks, *(Check(code=call) for call in inputs))
    verdict = sandbox.run(Program(source=source, checks=(_LOADED, *tried), setup=spec.setup), limits, cancel)
    results: list[CheckResult | None] = [*verdict.checks[1:]]
    ended = verdict.status not in (Status.PASSED, Status.FAILED)
    results += [None] * (len(tried) - len(results))
    first, second = len(spec.examples), len(spec.examples) + len(checks)
    examples = results[:first]
    return Evidence(
        loads=bool(verdict.checks),
        examples_passed=sum(r is not None and r.passed for r in examples),
        examples_total=first,
        checks_passed=sum(r is not None and r.passed for r in results[first:second]),
        checks_total=len(checks),
        behaviour=tuple(_behaviour(r) for r in results[second:]),
        failure=first_failure(spec.examples, examples, verdict),
        detail=verdict.detail if ended else "",
        level=verdict.level,
    )


_IN_SETUP = "in the setup: "  # how the sandbox marks an error of `Program.setup`
_NO_ANSWER, _RAISES, _RETURNS = "no answer", "raises ", "returns "


def _behaviour(result: CheckResult | None) -> str:
    if result is None:
        return _NO_ANSWER
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
