"""A sandbox for tests of workflow logic: it runs nothing and gives the verdicts it was given."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from leafwise.runtime.errors import SandboxError
from leafwise.runtime.handle import Handle
from leafwise.runtime.sandbox_contracts import CheckResult, Limits, Program, SandboxLevel, Verdict

_DEFAULT_LIMITS = Limits()


class ScriptedSandbox:
    """A queue of verdicts, or a function from program to verdict.

    Args:
        verdicts: given out in order, one per run; or called with each program.
    """

    def __init__(self, verdicts: Iterable[Verdict] | Callable[[Program], Verdict]) -> None:
        self.programs: list[Program] = []
        self._lock = threading.Lock()
        self._closed = False
        self._answer = verdicts if callable(verdicts) else None
        self._queue = deque(() if callable(verdicts) else verdicts)

    @property
    def level(self) -> SandboxLevel:
        """Always `scripted`."""
        return SandboxLevel.SCRIPTED

    def run(self, program: Program, limits: Limits = _DEFAULT_LIMITS, cancel: threading.Event | None = None) -> Verdict:
        """Record the program and give the next verdict.

        Raises:
            SandboxError: no verdict is left, or the sandbox is closed.
        """
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            self.programs.append(program)
            if self._answer is not None:
                return self._answer(program)
            if not self._queue:
                raise SandboxError(f"no verdict left for program {len(self.programs)}", hint="script more verdicts")
            return self._queue.popleft()

    def submit(self, program: Program, limits: Limits = _DEFAULT_LIMITS) -> Handle[CheckResult, Verdict]:
        """Give the next verdict at once."""
        handle: Handle[CheckResult, Verdict] = Handle()
        handle.finish(self.run(program, limits))
        return handle

    def close(self) -> None:
        """Refuse further programs."""
        self._closed = True

    def __enter__(self) -> ScriptedSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
