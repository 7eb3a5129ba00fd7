"""Limits beside those that the conformance suite asks of every sandbox."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from leafwise.runtime.errors import SandboxBrokenError
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status

pytestmark = pytest.mark.sandbox
WRITE = "with open('f{0}', 'wb') as f:\n    f.write(bytes({1} << 20))\n"


def run(sandbox: Sandbox, source: str, **limits: float) -> tuple[Status, str]:
    verdict = sandbox.run(Program(source=source), Limits.model_validate({"wall_seconds": 20.0, **limits}))
    return verdict.status, verdict.detail


def test_size_of_a_file_and_of_the_scratch_directory() -> None:
    with open_sandbox(SandboxLevel.FULL, workers=1) as sandbox:
        assert run(sandbox, WRITE.format(1, 8), file_mb=10)[0] is Status.PASSED
        assert run(sandbox, WRITE.format(1, 12), file_mb=10)[0] is not Status.PASSED
        status, detail = run(sandbox, "".join(WRITE.format(n, 9) for n in range(5)), file_mb=10)
        assert status is Status.LOAD_ERROR
        assert "No space left" in detail
        assert run(sandbox, "import os\nassert os.listdir('.') == []")[0] is Status.PASSED


def test_verdicts_come_when_programs_may_write_no_file() -> None:
    with open_sandbox(workers=1) as sandbox:
        assert run(sandbox, "x = 1", file_mb=0)[0] is Status.PASSED


@pytest.mark.parametrize("name", ["memory_mb", "file_mb", "processes"])
def test_a_limit_that_the_kernel_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1048576"):
        Limits.model_validate({name: 10**15})


def test_a_wall_that_fails_is_never_the_programs_fault() -> None:
    limits = Limits().model_copy(update={"file_mb": 10**15})
    program = Program(source="x = 1", trusted_checks=True)
    with open_sandbox(workers=1) as sandbox:
        for _ in range(5):
            with pytest.raises(SandboxBrokenError, match=r"could not be walled in: .*(Error|before its walls stood)"):
                sandbox.run(program, limits)


def test_a_check_has_one_form() -> None:
    with pytest.raises(ValidationError, match="an expected value or an expected exception, not both"):
        Check(code="f()", expected="1", raises="ValueError")


def test_output_without_end_does_not_cost_the_supervisor_as_much() -> None:
    source = "import os\nwhile True:\n    os.write(1, b'x' * 65536)\n"
    with open_sandbox(workers=1) as sandbox:
        run(sandbox, "")
        before = time.process_time()
        assert run(sandbox, source, wall_seconds=2.0, cpu_seconds=2.0)[0] is Status.TIMEOUT
        assert time.process_time() - before < 0.5
