"""Evidence for a repair: the failing call, what came and what should have come, and the last lines that ran before."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from leafwise.agents.checking import LIMITS, first_failure
from leafwise.agents.contracts import Failure, Spec
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, TraceLine

_SHOWN_LINES = 6
"""Lines of a trace that are shown: a wall of them tells a small model nothing."""
_SHOWN_VALUE = 60
"""Characters of a value that are shown."""


def diagnose(
    source: str,
    spec: Spec,
    sandbox: Sandbox,
    checks: Sequence[Check] = (),
    limits: Limits = LIMITS,
    cancel: threading.Event | None = None,
) -> Failure | None:
    """Run a candidate once more, traced, up to its first failure; None if it does not fail now.

    Args:
        source: the candidate's module.
        spec: what it should do; its visible examples come first.
        sandbox: where to run it.
        checks: further checks whose failing counts.
        limits: what the program may use.
        cancel: kills the program when set.

    Raises:
        SandboxError: the sandbox failed; nothing is known about the candidate.
    """
    tried = (*spec.examples, *checks)
    program = Program(
        source=source,
        checks=tried,
        setup=spec.setup,
        entry_point=spec.entry_point,
        trace=True,
        stop_at_first_failure=True,
    )
    verdict = sandbox.run(program, limits, cancel)
    results = [*verdict.checks, *[None] * (len(tried) - len(verdict.checks))]
    failure = first_failure(tried, results, verdict)
    if failure is None or len(verdict.checks) == 0:
        return failure
    failed = next((result for result in verdict.checks if not result.passed), None)
    return failure.model_copy(update={"trace": trace_text(source, failed.trace)}) if failed else failure


def trace_text(source: str, trace: Sequence[TraceLine]) -> str:
    """The last lines that ran, each with the values that it changed; empty without a trace.

    Args:
        source: the module that ran.
        trace: its lines, in the order in which they ran.
    """
    lines = source.splitlines()
    shown = [_line_text(lines, one) for one in trace[-_SHOWN_LINES:] if 0 < one.line <= len(lines)]
    return "\n".join(shown)


def _line_text(lines: Sequence[str], one: TraceLine) -> str:
    code = lines[one.line - 1].strip()
    values = ", ".join(f"{name} = {_short(value)}" for name, value in one.values)
    return f"{code}  # {values}" if values else code


def _short(value: str) -> str:
    return value if len(value) <= _SHOWN_VALUE else f"{value[:_SHOWN_VALUE]}..."
