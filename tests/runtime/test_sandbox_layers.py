"""Each layer's own test: nothing to report where it holds, and something where it is missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import pytest

from leafwise.runtime import seccomp_rules
from leafwise.runtime.inside_walls import Layer
from leafwise.runtime.layer_landlock import Landlock
from leafwise.runtime.layer_namespaces import Namespaces
from leafwise.runtime.layer_privileges import Privileges
from leafwise.runtime.layer_rlimits import ResourceLimits
from leafwise.runtime.layer_scratch import Scratch
from leafwise.runtime.layer_seccomp import Seccomp
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Limits, SandboxLevel

pytestmark = pytest.mark.sandbox
LIMITS = Limits(memory_mb=4096).model_dump()


def in_child(action: Callable[[], list[str]]) -> list[str]:
    """What a function gives in a process of its own: a layer can't be left again."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(into, "\n".join(action()).encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as file:
        said = file.read().decode()
    os.waitpid(pid, 0)
    return said.split("\n") if said else []


def seccomp() -> Layer:
    return Seccomp(seccomp_rules.stored("full"))


@pytest.mark.parametrize(
    ("make", "hole"),
    [
        (Namespaces, "sees /proc/self"),
        (lambda: Privileges(capabilities=False), "can be traced"),
        (lambda: ResourceLimits(cpu=True, task_slack=0), "opens more than 64 files"),
        (lambda: Landlock(-1, None, 0), "lists the root directory"),
        (seccomp, "runs a program"),
    ],
    ids=["namespaces", "privileges", "resource limits", "Landlock", "seccomp"],
)
def test_a_missing_layer_is_seen(make: Callable[[], Layer], hole: str) -> None:
    def without() -> list[str]:
        layer = make()
        if hole == "runs a program":  # it would really be run
            os.execv = lambda *_: None  # type: ignore[assignment]
        return layer.self_test(LIMITS)

    assert hole in in_child(without)


def test_an_unbounded_scratch_is_seen() -> None:
    with tempfile.TemporaryDirectory() as folder:

        def without() -> list[str]:
            scratch = Scratch("none")
            scratch._mounted = True
            os.chdir(folder)
            return scratch.self_test(LIMITS)

        assert in_child(without) == ["writes more than 32 MB", "makes more than 1024 files"]


@pytest.mark.parametrize("level", [SandboxLevel.FULL, SandboxLevel.LANDLOCK, SandboxLevel.NONE])
def test_every_layer_holds_alone(level: SandboxLevel) -> None:
    with open_sandbox(level, workers=1) as sandbox:
        tried = sandbox.test_layers()
        assert tuple(tried) == sandbox.layers
        assert not [hole for holes in tried.values() for hole in holes]
    names = {"scratch", "privileges", "resource limits"}
    if level is not SandboxLevel.NONE:
        names |= {"Landlock", "seccomp"}
    assert set(sandbox.layers) == names | ({"namespaces"} if level is SandboxLevel.FULL else set())


def test_the_zygote_has_no_threading_module() -> None:
    """Its hook after a fork would cost every child a fifth of a millisecond."""
    from leafwise.runtime.sandbox_contracts import Check, Program

    source = "import sys\ndef f():\n    return 'threading' in sys.modules\n"
    with open_sandbox(workers=1) as sandbox:
        assert sandbox.run(Program(source=source, checks=(Check(code="f()", expected="False"),))).passed
