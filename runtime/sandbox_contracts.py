"""What crosses the seam of the sandbox: programs and verdicts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from leafwise.runtime.contracts import Contract

_MOST = 1 << 20
"""Largest memory or file size in MiB, and number of threads: beyond a certain one the kernel takes no limit."""


class SandboxLevel(StrEnum):
    """How strongly programs are contained (see runtime/sandbox.py)."""

    FULL = "full"
    """bubblewrap namespaces + seccomp, and Landlock where the kernel has it."""
    LANDLOCK = "landlock"
    """Landlock + seccomp, no namespaces, no writable directory."""
    NONE = "none"
    """Resource limits only: for trusted programs, on explicit request."""
    SCRIPTED = "scripted"
    """Nothing is run: the scripted sandbox of the tests."""


class SandboxOptions(Contract):
    """What a sandbox is made of."""

    level: SandboxLevel
    """How strongly programs are contained."""
    allow_imports: tuple[str, ...] = ()
    """Installed packages, with what they need, that programs may import beside the standard library: read-only, and
    imported before the first program runs. Anything a package holds can be read by every program.
    """
    modules: tuple[Path, ...] = ()
    """Python files and packages' folders, by absolute path, that programs may import under their own names: read-only,
    and imported in a program's own processes only. Anything a folder holds can be read by every program.
    """
    without: frozenset[Literal["landlock", "seccomp"]] = frozenset()
    """Layers to leave out, to measure what each is worth. Never for programs that nobody trusts."""


class Limits(Contract):
    """What one program may use."""

    cpu_seconds: float = Field(default=5.0, gt=0, le=3600)
    """CPU time of the program; decides time-outs."""
    wall_seconds: float = Field(default=20.0, gt=0, le=14400)
    """Wall-clock time, a backstop for programs that sleep."""
    memory_mb: int = Field(default=1024, ge=64, le=_MOST)
    """Address space, in MiB."""
    processes: int = Field(default=64, ge=1, le=_MOST)
    """Threads and processes."""
    file_mb: int = Field(default=16, ge=0, le=_MOST)
    """Largest file written to the scratch directory, in MiB."""
    output_chars: int = Field(default=10_000, ge=0)
    """Characters kept of what the program prints; more is dropped and `output_cut` is set."""


class Check(Contract):
    """One thing to try on a loaded program.

    Three forms: an expression with its expected value (`code="add(2, 3)", expected="5"`); an expression that must raise
    (`code="add(2)", raises="TypeError"`); or code that must not raise (`code="assert add(2, 3) == 5"`); if that is an
    expression, its value is observed.
    """

    code: str
    """Python: an expression, or statements when neither `expected` nor `raises` is given."""
    expected: str | None = None
    """A Python expression for the value that `code` must equal."""
    raises: str | None = None
    """The name of the exception type that `code` must raise (subclasses count)."""
    cpu_seconds: float | None = Field(default=None, gt=0)
    """Processor time of each call of the candidate, which then ends with `TimeoutError`, and the next check is tried.
    The candidate's own process keeps to it, if it likes: it saves time, and contains nothing. None is without it.
    """

    @model_validator(mode="after")
    def _is_one_form(self) -> Self:
        if self.expected is not None and self.raises is not None:
            raise ValueError("a check has an expected value or an expected exception, not both")
        return self


class Program(Contract):
    """An untrusted module and what to try on it."""

    source: str
    """The candidate's module. Runs in the solver process only."""
    checks: tuple[Check, ...] = ()
    """Tried in order, in a tester process that never holds the candidate's code."""
    setup: str = ""
    """Code that the tester runs first: imports and helpers of the checks. `import solution` gives the candidate's
    functions.
    """
    entry_point: str | None = None
    """The function that is asked for, if it is known. Where its name is a builtin's, such as `sum`, that name is the
    program's in the code of the checks, and nothing if the program has none. The program's other functions under such
    names are not seen there, and in expected values none is: they would judge. A class under the name of this function
    is taken for a function; objects of the program's other classes that the checks make may take part in arithmetic
    and membership tests with plain data, see `runtime.inside_standin`.
    """
    trusted_checks: bool = False
    """Whether setup and checks come from a data set and not from a model: they then run in a tester process that is
    kept for many programs, which is quicker. What the checks change in library modules may then be seen by later ones.
    """
    trace: bool = False
    """Whether to record the last lines that ran before a check failed (`CheckResult.trace`); slows the program down."""
    stop_at_first_failure: bool = False
    """Leave the checks after a failing one unrun (they are then missing from the verdict)."""


class TraceLine(Contract):
    """A line of the candidate that ran, and what it changed."""

    line: int
    """Line number in `Program.source`, from 1."""
    function: str
    """The function that ran it."""
    values: tuple[tuple[str, str], ...] = ()
    """Local names that have a new value after the line, with the value's `repr` (at most 80 characters)."""


class CheckResult(Contract):
    """What one check gave."""

    passed: bool
    """True only if the tester process decided so."""
    observed: str | None = None
    """`repr` of the value of the expression (at most 1,000 characters, `...` marks a cut), if it had one."""
    error: str | None = None
    """`TypeName: message` of the exception that `code` raised, if it raised."""
    line: int | None = None
    """Line of the candidate's source at which that exception was raised, where known."""
    trace: tuple[TraceLine, ...] = ()
    """With `Program.trace`, for a check that failed: the last lines that ran, in order. Told by the candidate's own
    process, so evidence for a repair, never for a verdict.
    """
    seconds: float = 0.0
    """Wall-clock time of the check."""


class Status(StrEnum):
    """How a program ended."""

    PASSED = "passed"
    """Loaded, and every check passed (also with no checks at all: see `Verdict.checks`)."""
    FAILED = "failed"
    """Loaded, but a check failed."""
    LOAD_ERROR = "load_error"
    """The module did not load: a syntax error, or an exception at import."""
    TIMEOUT = "timeout"
    """CPU or wall-clock limit reached."""
    CRASHED = "crashed"
    """The process died: memory limit, native crash, an exit in the middle."""


class Verdict(Contract):
    """What running a program gave.

    Written by the tester and the supervisor; the program cannot write to that channel.
    """

    status: Status
    """How it ended."""
    checks: tuple[CheckResult, ...] = ()
    """One result per check that was tried, in order; shorter than the program's checks if it ended early."""
    detail: str = ""
    """One line for people: the load error, or what limit was hit."""
    output: str = ""
    """What the program printed (standard output and error), at most `Limits.output_chars`."""
    output_cut: bool = False
    """Whether output was dropped."""
    seconds: float = 0.0
    """Wall-clock time."""
    cpu_seconds: float = 0.0
    """CPU time of the program."""
    level: SandboxLevel
    """The sandbox level it ran under."""

    @property
    def passed(self) -> bool:
        """Whether the program loaded and every check passed."""
        return self.status is Status.PASSED

    @property
    def checks_passed(self) -> int:
        """Number of checks that passed."""
        return sum(c.passed for c in self.checks)
