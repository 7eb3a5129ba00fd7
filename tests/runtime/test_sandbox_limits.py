from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, Status

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module", params=[SandboxLevel.FULL, SandboxLevel.LANDLOCK])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from open_or_skip(request.param)


def run(sandbox: Sandbox, source: str, *codes: str, **limits: float) -> tuple[Status, str]:
    checks = tuple(Check(code=code) for code in codes)
    verdict = sandbox.run(
        Program(source=source, checks=checks), Limits.model_validate({"wall_seconds": 20.0, **limits})
    )
    return verdict.status, verdict.detail


def test_cpu_limit(sandbox: Sandbox) -> None:
    assert run(sandbox, "while True: pass", cpu_seconds=0.3) == (Status.TIMEOUT, "CPU limit of 0.3 s reached")


def test_cpu_limit_of_a_check(sandbox: Sandbox) -> None:
    assert run(sandbox, "", "1", "while True: pass", cpu_seconds=0.3)[0] is Status.TIMEOUT


def test_checks_before_the_time_out_are_kept(sandbox: Sandbox) -> None:
    source = "def f(n):\n    while n: pass\n"
    checks = (Check(code="f(0)"), Check(code="f(1)"), Check(code="f(0)"))
    verdict = sandbox.run(Program(source=source, checks=checks), Limits(cpu_seconds=0.3))
    assert verdict.status is Status.TIMEOUT
    assert [c.passed for c in verdict.checks] == [True]
    assert verdict.cpu_seconds >= 0.3


def test_wall_limit(sandbox: Sandbox) -> None:
    start = time.monotonic()
    status = run(sandbox, "import time\ntime.sleep(60)", wall_seconds=0.4)
    assert status == (Status.TIMEOUT, "wall-clock limit of 0.4 s reached")
    assert time.monotonic() - start < 4


def test_stopped_program_times_out(sandbox: Sandbox) -> None:
    assert run(sandbox, "import os\nos.kill(os.getpid(), 19)", wall_seconds=0.4)[0] is Status.TIMEOUT


def test_memory_limit(sandbox: Sandbox) -> None:
    status, detail = run(sandbox, "x = bytearray(300 << 20)", memory_mb=256)
    assert (status, detail) == (Status.LOAD_ERROR, "MemoryError (line 1)")
    assert run(sandbox, "x = bytearray(100 << 20)", memory_mb=256)[0] is Status.PASSED


def test_cancel_while_it_runs(sandbox: Sandbox) -> None:
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    program = Program(source="import time\ntime.sleep(60)")
    verdict = sandbox.run(program, Limits(wall_seconds=30), cancel)
    assert (verdict.status, verdict.detail) == (Status.TIMEOUT, "cancelled")
    assert verdict.seconds < 5
    assert run(sandbox, "")[0] is Status.PASSED


def test_cancel_while_it_waits_for_a_worker(sandbox: Sandbox) -> None:
    endless = Program(source="while True: pass")
    cancel, cancel_second = threading.Event(), threading.Event()
    first = threading.Thread(target=sandbox.run, args=(endless, Limits(cpu_seconds=60, wall_seconds=60), cancel))
    first.start()
    time.sleep(0.2)
    cancel_second.set()
    assert sandbox.run(Program(source=""), Limits(), cancel_second).detail == "cancelled"
    cancel.set()
    first.join(10)
    assert not first.is_alive()


def test_file_size_and_scratch_size() -> None:
    with open_sandbox(SandboxLevel.FULL, workers=1) as sandbox:
        write = "with open('f{0}', 'wb') as f:\n    f.write(bytes({1} << 20))\n"
        assert run(sandbox, write.format(1, 8), file_mb=10)[0] is Status.PASSED
        assert run(sandbox, write.format(1, 12), file_mb=10)[0] is not Status.PASSED
        status, detail = run(sandbox, "".join(write.format(n, 9) for n in range(5)), file_mb=10)
        assert status is Status.LOAD_ERROR
        assert "No space left" in detail
        assert run(sandbox, "import os\nassert os.listdir('.') == []")[0] is Status.PASSED


def test_no_writable_directory_at_level_landlock() -> None:
    with open_sandbox(SandboxLevel.LANDLOCK, workers=1) as sandbox:
        for path in ("here", "/tmp/here", "/dev/shm/here", "/var/tmp/here"):
            assert run(sandbox, f"open({path!r}, 'w')")[0] is Status.LOAD_ERROR
