"""The seam to running programs that a model wrote.

A `Sandbox` runs a `Program` under `Limits` and gives a `Verdict`. The real one is made by `open_sandbox`; tests of workflow
logic use `ScriptedSandbox`.
"""

from __future__ import annotations

import threading
from typing import Protocol

from leafwise.runtime.contracts import Limits, Program, SandboxLevel, Verdict


class Sandbox(Protocol):
    """Runs untrusted programs. Safe to call from several threads at once."""

    @property
    def level(self) -> SandboxLevel:
        """How strongly programs are contained; also written into every verdict."""
        ...

    def run(self, program: Program, limits: Limits = Limits(), cancel: threading.Event | None = None) -> Verdict:  # noqa: B008
        """Run a program and its checks.

        Args:
            program: what to run.
            limits: what it may use.
            cancel: when set, the program is killed and the verdict is `Status.TIMEOUT` with detail "cancelled".

        Returns:
            The verdict. A program that fails, crashes, hangs or attacks is a value.

        Raises:
            SandboxError: the sandbox itself failed; the program has no verdict.
        """
        ...

    def close(self) -> None:
        """Kill what still runs and remove what was written. Closing twice is fine."""
        ...
