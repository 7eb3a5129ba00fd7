"""A sandbox that remembers: simulated models write the same few programs again and again.

Remembered are the results of single checks, so that a program with one check more runs only that one. This is right for
functions whose checks do not depend on each other, as those of benchmarks are; a program that does not come to its end
is remembered as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from leafwise.runtime.handle import Handle
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, CheckResult, Limits, Program, SandboxLevel, Status, Verdict

_DEFAULT_LIMITS = Limits()


class RememberingSandbox:
    """Runs nothing twice. See `Sandbox`.

    Args:
        inner: runs what is new; stays the caller's.
    """

    def __init__(self, inner: Sandbox) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Check], CheckResult] = {}
        self._wholes: dict[tuple[str, tuple[Check, ...]], Verdict] = {}
        self.asked = 0
        """Programs that were asked for."""
        self.ran = 0
        """Programs that were run."""

    @property
    def level(self) -> SandboxLevel:
        """See `Sandbox.level`."""
        return self._inner.level

    def submit(self, program: Program, limits: Limits = _DEFAULT_LIMITS) -> Handle[CheckResult, Verdict]:
        """See `Sandbox.submit`; what is known is there at once, and what is not is waited for."""
        handle: Handle[CheckResult, Verdict] = Handle()
        handle.finish(self.run(program, limits))
        return handle

    def run(self, program: Program, limits: Limits = _DEFAULT_LIMITS, cancel: threading.Event | None = None) -> Verdict:
        """See `Sandbox.run`."""
        frame = program.model_copy(update={"checks": ()}).model_dump_json() + limits.model_dump_json()
        with self._lock:
            self.asked += 1
            whole = self._wholes.get((frame, program.checks))
            missing = tuple(dict.fromkeys(c for c in program.checks if (frame, c) not in self._known))
        if whole is not None:
            return whole
        if program.checks and not missing:
            return self._remembered(frame, program.checks)
        alone = program.stop_at_first_failure  # there the checks behind a failure are missing
        tried = program.checks if alone else missing
        verdict = self._inner.run(program.model_copy(update={"checks": tried}), limits, cancel)
        if cancel is not None and cancel.is_set():
            return verdict
        with self._lock:
            self.ran += 1
            if alone or verdict.status not in (Status.PASSED, Status.FAILED):
                if tried == program.checks:
                    self._wholes[frame, program.checks] = verdict
            else:
                self._known |= {(frame, c): r for c, r in zip(tried, verdict.checks, strict=True)}
                return self._remembered(frame, program.checks) if program.checks else verdict
        return verdict if tried == program.checks else self._whole(frame, program, limits, cancel)

    def _whole(self, frame: str, program: Program, limits: Limits, cancel: threading.Event | None) -> Verdict:
        """A program that does not come to its end with a new check: only the whole of it shows how far it gets."""
        verdict = self._inner.run(program, limits, cancel)
        with self._lock:
            self.ran += 1
            if cancel is None or not cancel.is_set():
                self._wholes[frame, program.checks] = verdict
        return verdict

    def _remembered(self, frame: str, checks: Sequence[Check]) -> Verdict:
        results = tuple(self._known[frame, check] for check in checks)
        status = Status.PASSED if all(result.passed for result in results) else Status.FAILED
        return Verdict(status=status, checks=results, level=self.level)

    def close(self) -> None:
        """Forget everything; the inner sandbox stays open."""
        with self._lock:
            self._known.clear()
            self._wholes.clear()
