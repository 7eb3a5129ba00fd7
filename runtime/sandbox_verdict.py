"""From what the tester, the zygote and the output of one program said to its verdict."""

from __future__ import annotations

import contextlib
import re
import signal
from typing import Any

from pydantic import ValidationError

from leafwise.runtime.sandbox_contracts import CheckResult, Limits, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_job import Outcome

_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that reorder text, and halves of characters."""
_WIDEST = len("\\u0000")
_MAX_TEXT = 1000
"""Characters of a text in a verdict."""


def verdict_of(program: Program, limits: Limits, outcome: Outcome, level: SandboxLevel) -> Verdict:
    """The verdict on a program that was run.

    Args:
        program: what was run.
        limits: what it was allowed.
        outcome: what was heard of it.
        level: where it ran.
    """
    said: dict[str, Any] = {}
    checks: list[CheckResult] = []
    for message in map(_plain, outcome.messages):
        if "check" in message and len(checks) < len(program.checks):
            with contextlib.suppress(ValidationError):
                checks.append(CheckResult.model_validate(message["check"]))
        said |= message
    output = _plain(outcome.output, len(outcome.output) * _WIDEST)
    status, detail = _status(program, limits, outcome, said, checks)
    return Verdict(
        status=status,
        checks=tuple(checks),
        detail=detail,
        output=output[: limits.output_chars],
        output_cut=outcome.output_cut or len(output) > limits.output_chars,
        seconds=outcome.seconds,
        cpu_seconds=outcome.report.cpu,
        level=level,
    )


def _plain(value: Any, most: int = _MAX_TEXT) -> Any:
    """The same with texts that can be written to a file and shown on a terminal: they are the program's."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return text if len(text) <= most else text[: most - 3] + "..."


def _status(
    program: Program, limits: Limits, outcome: Outcome, said: dict[str, Any], checks: list[CheckResult]
) -> tuple[Status, str]:
    report = outcome.report
    if report.reason == "cancelled":
        return Status.TIMEOUT, "cancelled"
    if report.reason == "wall":
        return Status.TIMEOUT, f"wall-clock limit of {limits.wall_seconds:g} s reached"
    if report.reason == "cpu" or -signal.SIGXCPU in (report.solver, report.tester):
        return Status.TIMEOUT, f"CPU limit of {limits.cpu_seconds:g} s reached"
    if "load_error" in said:
        error, line = str(said["load_error"]), f"line {said.get('line')}"
        return Status.LOAD_ERROR, error if said.get("line") is None or line in error else f"{error} ({line})"
    if "lost" in said:
        where = f"during check {said.get('at')}" if said.get("loaded") else "while it was loaded"
        return Status.CRASHED, f"the program ended {where}: {_how(report.solver, str(said['lost']))}"
    if not said.get("end"):
        return Status.CRASHED, f"the process of the checks ended early: {_how(report.tester, '')}"
    expected = len(program.checks)
    complete = len(checks) == expected
    if complete and all(check.passed for check in checks) and not said.get("setup"):
        return Status.PASSED, ""
    return Status.FAILED, str(said.get("setup") or f"{sum(c.passed for c in checks)} of {expected} checks passed")


def _how(status: int | None, otherwise: str) -> str:
    """An exit status in words; a killed solver may only have been killed because the tester had given it up."""
    if status is not None and status < 0 and status != -signal.SIGKILL:
        named = {int(known): known.name for known in signal.Signals}
        return f"signal {named.get(-status, -status)}"  # those for real-time use have no names
    if status is not None and status >= 0:
        return f"exit status {status}"
    return otherwise or "killed"
