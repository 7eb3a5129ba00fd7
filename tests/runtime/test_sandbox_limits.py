"""Limits beside those that the conformance suite asks of every sandbox."""

from __future__ import annotations

import time

import pytest

from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Limits, Program, SandboxLevel, Status

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


def test_output_without_end_does_not_cost_the_supervisor_as_much() -> None:
    source = "import os\nwhile True:\n    os.write(1, b'x' * 65536)\n"
    with open_sandbox(workers=1) as sandbox:
        run(sandbox, "")
        before = time.process_time()
        assert run(sandbox, source, wall_seconds=2.0, cpu_seconds=2.0)[0] is Status.TIMEOUT
        assert time.process_time() - before < 0.5
