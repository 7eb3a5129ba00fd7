"""Queue, cancellation, asyncio, and testers that are kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from leafwise.runtime.errors import SandboxError
from leafwise.runtime.sandbox import open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, SandboxOptions, Status
from leafwise.runtime.sandbox_pool import ProcessSandbox
from leafwise.runtime.sandbox_worker import Worker

pytestmark = pytest.mark.sandbox
SLEEP = Program(source="import time\ntime.sleep(60)\n")
LONG = Limits(wall_seconds=60)


def times(factor: int, *, trusted: bool = False) -> Program:
    check = Check(code="f(3)", expected=str(3 * factor))
    return Program(source=f"def f(x):\n    return {factor} * x\n", checks=(check,), trusted_checks=trusted)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ProcessSandbox]:
    with open_sandbox(workers=2) as opened:
        yield opened


def test_submit_gives_a_handle(sandbox: ProcessSandbox) -> None:
    handles = [sandbox.submit(times(n)) for n in range(30)]
    assert all(handle.result(20).passed for handle in handles)


def test_many_programs_of_one_asyncio_program(sandbox: ProcessSandbox) -> None:
    async def judge() -> list[bool]:
        verdicts = await asyncio.gather(*(sandbox.submit(times(n)) for n in range(40)))
        return [verdict.passed for verdict in verdicts]

    assert all(asyncio.run(judge()))


def test_a_cancelled_task_kills_its_program(sandbox: ProcessSandbox) -> None:
    async def give_up() -> None:
        handle = sandbox.submit(SLEEP, LONG)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.3)
        assert handle.cancelled
        assert (await asyncio.to_thread(handle.result, 5)).detail == "cancelled"

    asyncio.run(give_up())
    assert sandbox.run(times(2)).passed


def test_cancelled_in_the_queue_it_has_its_verdict_at_once() -> None:
    with open_sandbox(workers=1) as sandbox:
        first, second = sandbox.submit(SLEEP, LONG), sandbox.submit(times(2))
        second.cancel()
        verdict = second.result(1)
        assert (verdict.status, verdict.detail, verdict.level) == (Status.TIMEOUT, "cancelled", sandbox.level)
        first.cancel()
        assert first.result(5).detail == "cancelled"
        assert sandbox.run(times(3)).passed


def test_a_cancel_that_comes_before_its_program_is_not_lost() -> None:
    worker = Worker(SandboxOptions(level=SandboxLevel.NONE))
    try:
        worker.cancel()  # the zygote hears it between two programs
        cancelled = threading.Event()
        cancelled.set()
        assert worker.run(SLEEP, Limits(wall_seconds=4), cancelled).report.reason == "cancelled"
        assert worker.run(times(2), Limits(), threading.Event()).report.reason == ""
    finally:
        worker.kill()


def test_a_full_queue_holds_callers_back() -> None:
    with ProcessSandbox(SandboxOptions(level=SandboxLevel.FULL), 1, waiting=1) as sandbox:
        running = sandbox.submit(SLEEP, LONG)
        while sandbox._waiting:
            time.sleep(0.01)
        waiting = sandbox.submit(times(2))
        third = threading.Thread(target=lambda: sandbox.submit(times(3)).result(20))
        third.start()
        third.join(0.3)
        assert third.is_alive()
        running.cancel()
        assert waiting.result(20).passed
        third.join(20)
        assert not third.is_alive()


def test_closing_ends_what_runs_and_what_waits() -> None:
    sandbox = open_sandbox(workers=1)
    running, waiting = sandbox.submit(SLEEP, LONG), sandbox.submit(times(2))
    time.sleep(0.2)
    sandbox.close()
    for handle in (running, waiting):
        with pytest.raises(SandboxError):
            handle.result(5)
    with pytest.raises(SandboxError):
        sandbox.submit(times(2))


# A kept tester.

PID = "import os\nseen = os.getpid()\n"


def pid_of_tester(sandbox: ProcessSandbox, *, trusted: bool, **limits: float) -> str:
    program = Program(source="", setup=PID, checks=(Check(code="seen"),), trusted_checks=trusted)
    verdict = sandbox.run(program, Limits.model_validate(limits))
    assert verdict.passed, verdict
    return str(verdict.checks[0].observed)


@pytest.fixture
def one() -> Iterator[ProcessSandbox]:
    with open_sandbox(workers=1) as opened:
        yield opened


def test_checks_of_a_model_never_share_a_process(one: ProcessSandbox) -> None:
    assert len({pid_of_tester(one, trusted=False) for _ in range(4)}) == 4
    kept = pid_of_tester(one, trusted=True)
    assert pid_of_tester(one, trusted=False) != kept


def test_trusted_checks_share_one_under_the_same_limits(one: ProcessSandbox) -> None:
    assert len({pid_of_tester(one, trusted=True) for _ in range(4)}) == 1
    assert pid_of_tester(one, trusted=True) != pid_of_tester(one, trusted=True, memory_mb=512)


def test_a_tester_is_replaced_after_200_programs_and_after_a_time_out(one: ProcessSandbox) -> None:
    before = pid_of_tester(one, trusted=True)
    for n in range(199):
        assert one.run(times(n, trusted=True)).passed
    after = pid_of_tester(one, trusted=True)
    assert after != before
    endless = Program(source="while True: pass\n", trusted_checks=True)
    assert one.run(endless, Limits(cpu_seconds=0.2)).status is Status.TIMEOUT
    assert pid_of_tester(one, trusted=True) != after


def test_a_kept_tester_starts_each_program_anew(one: ProcessSandbox) -> None:
    leaves = "class Left(ValueError): pass\nclass int2(int): pass\ndef f(): raise Left('x')\nleft = 1\n"
    catch = "try:\n    f()\nexcept Exception as e:\n    caught = type(e)"
    first = Program(source=leaves, checks=(Check(code=catch), Check(code="f()", raises="Left")), trusted_checks=True)
    assert one.run(first).passed
    second = Program(
        source="def g(): return 1\n",
        checks=(Check(code="left", raises="NameError"), Check(code="caught", raises="NameError"), Check(code="g()")),
        trusted_checks=True,
    )
    assert one.run(second).passed
    code = "import solution\nassert not hasattr(solution, 'f') and solution.g() == 1"
    assert one.run(Program(source="def g(): return 1\n", checks=(Check(code=code),), trusted_checks=True)).passed


def test_the_cpu_limit_of_a_kept_tester_is_per_program(one: ProcessSandbox) -> None:
    burn = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    for _ in range(5):
        program = Program(source="", checks=(Check(code=burn),), trusted_checks=True)
        assert one.run(program, Limits(cpu_seconds=1)).passed
    program = Program(source="", checks=(Check(code="while True: pass"),), trusted_checks=True)
    verdict = one.run(program, Limits(cpu_seconds=0.5))
    assert (verdict.status, verdict.detail) == (Status.TIMEOUT, "CPU limit of 0.5 s reached")
    assert one.run(times(2, trusted=True)).passed


def test_a_kept_tester_keeps_no_values_of_the_last_program(one: ProcessSandbox) -> None:
    source = "def f(n):\n    return chr(97 + n) * 8_000_000\n"
    checks = tuple(Check(code=f"a{n} = f({n})\nassert a{n}[0] == {chr(97 + n)!r}") for n in range(8))
    program = Program(source=source, setup="def check(x):\n    return x\n", checks=checks, trusted_checks=True)
    verdicts = [one.run(program, Limits(memory_mb=192)) for _ in range(3)]
    assert [verdict.checks_passed for verdict in verdicts] == [8, 8, 8], verdicts


def test_a_kept_tester_that_dies_is_replaced(one: ProcessSandbox) -> None:
    program = Program(source="", checks=(Check(code="import os; os._exit(3)"),), trusted_checks=True)
    verdict = one.run(program)
    assert verdict.status is Status.CRASHED
    assert "exit status 3" in verdict.detail
    assert one.run(times(2, trusted=True)).passed
