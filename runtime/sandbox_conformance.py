"""The conformance suite of the sandbox: what every implementation of `Sandbox` must do, tried on it.

    from leafwise.runtime.sandbox_conformance import check_conformance

    for result in check_conformance(MySandbox):
        print(result.describe())

`MySandbox` stands for anything that makes a sandbox when it is called. Which cases apply depends on the level that it
says it has: containment is asked of `full` and `landlock`, files of their own that programs can write of `full`. A
sandbox that fails a case is not one that leafwise's verdicts can be built on.

The cases are data (`CASES`): a program with its limits and the answer to it, or a few steps with a sandbox.
"""

from __future__ import annotations

import time
from collections.abc import Container

from leafwise.runtime import (
    sandbox_conformance_endings,
    sandbox_conformance_steps,
    sandbox_conformance_values,
    sandbox_conformance_walls,
)
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_conformance_case import Case, Factory, Steps
from leafwise.runtime.sandbox_contracts import SandboxLevel

CASES: tuple[Case | Steps, ...] = (
    *sandbox_conformance_values.CASES,
    *sandbox_conformance_endings.CASES,
    *sandbox_conformance_walls.CASES,
    *sandbox_conformance_steps.CASES,
)
"""Every case, in the order in which they are tried."""


class CaseResult(Contract):
    """What came of one case."""

    name: str
    """The case."""
    passed: bool
    """Whether the sandbox did all that the case asks for."""
    skipped: str = ""
    """Why the case was not tried; empty if it was."""
    detail: str = ""
    """What was expected and what came, for a case that failed."""
    seconds: float = 0.0
    """Wall-clock time."""

    @property
    def failed(self) -> bool:
        """Whether the case was tried and not passed."""
        return not (self.passed or self.skipped)

    def describe(self) -> str:
        """One line for people."""
        word = "passed" if self.passed else "skipped" if self.skipped else "FAILED"
        return f"{word:<7}  {self.name}  {self.skipped or self.detail}".rstrip()


def check_conformance(sandbox_factory: Factory, *, only: Container[str] | None = None) -> list[CaseResult]:
    """Tries the cases on a sandbox; takes seconds.

    Args:
        sandbox_factory: makes a sandbox; called once for most cases and again for those that close it. All are closed.
        only: the names of the cases to try; None tries all.

    Returns:
        One result per case, in the order of `CASES`.

    Raises:
        Exception: whatever the factory raises the first time.
    """
    sandbox = sandbox_factory()
    try:
        return [_try(case, sandbox, sandbox_factory) for case in CASES if only is None or case.name in only]
    finally:
        sandbox.close()


def _try(case: Case | Steps, sandbox: Sandbox, factory: Factory) -> CaseResult:
    level = sandbox.level
    if level not in case.levels:
        asked = f"asked of level {' and '.join(sorted(case.levels))}, not of {level}"
        why = "needs a live process" if level is SandboxLevel.SCRIPTED else asked
        return CaseResult(name=case.name, passed=False, skipped=why)
    start = time.monotonic()
    try:
        complaints = list(case.complaints(sandbox, factory))
    except Exception as error:  # the sandbox is foreign code: what it raises is its answer to this case
        complaints = [f"expected no exception, observed {type(error).__name__}: {error}"]
    seconds = time.monotonic() - start
    detail = "; ".join(complaints).encode(errors="backslashreplace").decode()  # programs print what no terminal takes
    return CaseResult(name=case.name, passed=not complaints, detail=detail, seconds=seconds)
