from __future__ import annotations

import pytest

from leafwise.runtime.errors import SandboxError
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_scripted import ScriptedSandbox

PASSED = Verdict(status=Status.PASSED, level=SandboxLevel.SCRIPTED)
FAILED = Verdict(status=Status.FAILED, level=SandboxLevel.SCRIPTED)


def test_queue_and_record() -> None:
    with ScriptedSandbox([PASSED, FAILED]) as scripted:
        sandbox: Sandbox = scripted
        assert sandbox.level is SandboxLevel.SCRIPTED
        assert [sandbox.run(Program(source=str(n))).status for n in range(2)] == [Status.PASSED, Status.FAILED]
        with pytest.raises(SandboxError, match="program 3"):
            sandbox.run(Program(source="2"))
    assert [program.source for program in scripted.programs] == ["0", "1", "2"]
    with pytest.raises(SandboxError, match="closed"):
        scripted.run(Program(source="3"))


def test_function() -> None:
    scripted = ScriptedSandbox(lambda program: PASSED if "ok" in program.source else FAILED)
    assert scripted.run(Program(source="ok")).passed
    assert not scripted.run(Program(source="no")).passed
