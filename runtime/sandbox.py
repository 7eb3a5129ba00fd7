"""The seam to running programs that a model wrote.

A `Sandbox` runs a `Program` under `Limits` and gives a `Verdict`. The real one is made by `open_sandbox`; tests of
workflow logic use `ScriptedSandbox` (`sandbox_scripted`).
"""

from __future__ import annotations

import logging
import platform
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import SandboxUnavailableError
from leafwise.runtime.sandbox_contracts import (
    CheckResult,
    Limits,
    Program,
    SandboxLevel,
    SandboxOptions,
    Verdict,
)

if TYPE_CHECKING:
    from leafwise.runtime.handle import Handle
    from leafwise.runtime.sandbox_corpus import CorpusJudge
    from leafwise.runtime.sandbox_pool import ProcessSandbox

_log = logging.getLogger(__name__)
_LINUX_ONLY = "leafwise runs programs on Linux; on Windows use WSL2, on macOS a Linux virtual machine"


class Sandbox(Protocol):
    """Runs untrusted programs. Safe to call from several threads at once."""

    @property
    def level(self) -> SandboxLevel:
        """How strongly programs are contained; also written into every verdict."""
        ...

    def submit(self, program: Program, limits: Limits = Limits()) -> Handle[CheckResult, Verdict]:  # noqa: B008
        """Have a program run when its turn comes, first come, first served.

        Blocks while the queue of waiting programs is full, so that callers can't outrun the workers.

        Args:
            program: what to run.
            limits: what it may use.

        Returns:
            `result()` or `await` give the verdict or raise `SandboxError`; `cancel()` kills the program, and the
            verdict is then `Status.TIMEOUT` with detail "cancelled". There are no items.

        Raises:
            SandboxError: the sandbox is closed.
        """
        ...

    def run(self, program: Program, limits: Limits = Limits(), cancel: threading.Event | None = None) -> Verdict:  # noqa: B008
        """Run a program and its checks, and wait for it.

        Args:
            program: what to run.
            limits: what it may use.
            cancel: when set, the program is killed as by `Handle.cancel`.

        Returns:
            The verdict. A program that fails, crashes, hangs or attacks is a value.

        Raises:
            SandboxError: the sandbox itself failed; the program has no verdict.
        """
        ...

    def close(self) -> None:
        """Kill what still runs and remove what was written. Closing twice is fine."""
        ...


class LayerReport(Contract):
    """Whether this machine has one layer of the sandbox."""

    name: str
    """The layer, or `level` for what they add up to."""
    available: bool
    """Whether it was tried and worked."""
    detail: str
    """One line: the version found, or what went wrong."""
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""


def open_sandbox(
    level: SandboxLevel | None = None,
    *,
    workers: int | None = None,
    allow_imports: Sequence[str] = (),
    modules: Sequence[Path] = (),
) -> ProcessSandbox:
    """Start the sandbox.

    Args:
        level: None takes the best of full and landlock that works here, found by starting it; a fall-back to landlock
            logs one warning. `none` must be asked for, and warns each time.
        workers: programs that run at once; None is one per core.
        allow_imports: installed packages that programs may import beside the standard library.
        modules: Python files and folders of packages of your own that programs may read and import.

    Returns:
        A `Sandbox` that is also a context manager.

    Raises:
        SandboxUnavailableError: this machine can't give the level; the hint says what is missing.
        UsageError: a package is not installed, or a module can't be imported under its name.
    """
    if level is SandboxLevel.SCRIPTED:
        raise SandboxUnavailableError("a scripted sandbox is not opened", hint="make a ScriptedSandbox")
    if sys.platform != "linux":
        raise SandboxUnavailableError(f"no sandbox for {platform.system()}", hint=_LINUX_ONLY)
    from leafwise.runtime.sandbox_probe import open_checked, remedy

    if level is SandboxLevel.NONE:
        _log.warning("sandbox level none: programs run with resource limits only and can reach your files and network")
    shown = SandboxOptions(
        level=level or SandboxLevel.FULL,
        allow_imports=tuple(allow_imports),
        modules=tuple(path.absolute() for path in modules),
    )
    if level is not None:
        return open_checked(shown, workers)
    try:
        return open_checked(shown, workers)
    except SandboxUnavailableError as full:
        try:
            sandbox = open_checked(shown.model_copy(update={"level": SandboxLevel.LANDLOCK}), workers)
        except SandboxUnavailableError as landlock:
            message = f"no sandbox works here: {full.message}; {landlock.message}"
            raise SandboxUnavailableError(message, hint=f"{full.hint}; {landlock.hint}") from full
        _log.warning(
            "sandbox level landlock (no namespaces): %s; for the full level: %s", full.message, remedy(full.message)
        )
        return sandbox


def probe_layers() -> list[LayerReport]:
    """Try each layer of the sandbox on this machine, for `leafwise doctor`; takes about a second."""
    if sys.platform != "linux":
        return [LayerReport(name="level", available=False, detail=platform.system(), remedy=_LINUX_ONLY)]
    from leafwise.runtime.sandbox_probe import layer_reports

    return layer_reports()


def corpus_judge() -> CorpusJudge:
    """A judge for runners of hostile programs, see `sandbox_corpus`."""
    from leafwise.runtime.sandbox_corpus import judge

    return judge()
