"""Cases of the conformance suite that are more than one program: lifecycle, cancelling, threads, isolation."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from leafwise.runtime.errors import SandboxError
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_conformance_case import (
    CONTAINED,
    LIVE,
    NOT_PASSED,
    WRITABLE,
    Answer,
    Factory,
    Steps,
    differs,
    equal,
    judge,
    tried,
)
from leafwise.runtime.sandbox_conformance_endings import SLEEP, SPIN, THREADS
from leafwise.runtime.sandbox_conformance_values import ADD
from leafwise.runtime.sandbox_contracts import Limits, Program, Status, Verdict

_HONEST = tried(ADD, equal("add(2, 3)", "5"))
_SLEEPER, _SPINNER = tried(SLEEP), tried(SPIN + "spin()")
_ENOUGH = 20.0
_SOON = 0.2  # seconds; a program that was submitted is then running
_CANCELLED = Answer(status=Status.TIMEOUT, detail="cancelled")
_REACHES = """\
import pathlib, socket
def reached(folder, port):
    tries = {
        'reads': lambda: (pathlib.Path(folder) / 'secret').read_text(),
        'writes': lambda: (pathlib.Path(folder) / 'new').touch(),
        'overwrites': lambda: (pathlib.Path(folder) / 'secret').write_text('changed'),
        'connects': lambda: socket.create_connection(('127.0.0.1', port), 1).close(),
    }
    done = []
    for name, action in tries.items():
        try:
            action()
        except OSError:
            continue
        done.append(name)
    return done
"""


def closing_twice(_: Sandbox, open_sandbox: Factory) -> Iterator[str]:
    """The second time does nothing."""
    sandbox = open_sandbox()
    sandbox.close()
    sandbox.close()
    yield from ()


def no_run_after_close(_: Sandbox, open_sandbox: Factory) -> Iterator[str]:
    """A closed sandbox refuses programs: no verdict, and no other error."""
    sandbox = open_sandbox()
    sandbox.close()
    yield from _refusal(sandbox, _HONEST)
    try:
        verdict = sandbox.submit(_HONEST).result(_ENOUGH)
    except SandboxError:
        return
    yield differs("submit", "SandboxError", verdict)


def closing_ends_a_running_program(_: Sandbox, open_sandbox: Factory) -> Iterator[str]:
    """It has no verdict: that it would have failed is not known."""
    sandbox = open_sandbox()
    timer = threading.Timer(_SOON, sandbox.close)
    timer.start()
    yield from _refusal(sandbox, _SLEEPER)
    timer.join()


def cancelling_ends_a_running_program(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Long before its limits do; the next program is run as ever."""
    yield from judge(sandbox, _SLEEPER, _CANCELLED, Limits(wall_seconds=4), _set_soon())
    yield from judge(sandbox, _HONEST)


def cancelling_ends_a_program_that_waits(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Whether or not there is room for it, and without an end to the one that runs."""
    limits, first = Limits(wall_seconds=8), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: list(judge(sandbox, _SLEEPER, _CANCELLED, limits, first)))
        time.sleep(_SOON)
        yield from judge(sandbox, _SLEEPER, _CANCELLED, limits, _set_soon())
        if running.done():
            yield differs("program that was not cancelled", "still running", "ended")
        first.set()
        yield from running.result()


def cancelled_before_it_starts(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """A caller that has lost interest early gets the same verdict as any other."""
    cancel = threading.Event()
    cancel.set()
    yield from judge(sandbox, _SLEEPER, _CANCELLED, cancel=cancel)


def limits_too_short_to_start(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Reached while the program is still being walled in: a time-out like any other; tried often, for it is a race."""
    for limits in (Limits(cpu_seconds=1e-4), Limits(wall_seconds=1e-3)) * 5:
        yield from judge(sandbox, _SPINNER, Answer(status=Status.TIMEOUT), limits)


def submitted_programs_have_verdicts(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Those that `run` would give, whether somebody waits for them or awaits them."""

    async def awaited() -> Verdict:
        return await sandbox.submit(_HONEST)

    handles = [sandbox.submit(_HONEST) for _ in range(8)]
    for verdict in (*(handle.result(_ENOUGH) for handle in handles), asyncio.run(awaited())):
        if not verdict.passed:
            yield differs("verdict", "passed", verdict)


def cancelling_a_submitted_program(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Ends it, and the ones behind it are run."""
    handle, next_one = sandbox.submit(_SLEEPER, Limits(wall_seconds=60)), sandbox.submit(_HONEST)
    time.sleep(_SOON)
    handle.cancel()
    yield from _CANCELLED.complaints(handle.result(_ENOUGH))
    if not (verdict := next_one.result(_ENOUGH)).passed:
        yield differs("verdict of the next program", "passed", verdict)


def several_threads_at_once(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Each gets the verdict of its own program."""
    programs = [tried(f"def f(x):\n    return x * {n}\n", equal("f(3)", str(3 * n)), "f(1)") for n in range(16)]
    answers = [Answer(observed=(str(3 * n), str(n))) for n in range(16)]
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda pair: list(judge(sandbox, *pair)), zip(programs, answers, strict=True))
        yield from chain.from_iterable(found)


def programs_do_not_see_each_other(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """What one leaves in the library's modules is not there for the next; nor is what its checks leave."""
    leave = "import builtins, math\nbuiltins.left = 1\nmath.left = 2\n"
    yield from judge(sandbox, tried(leave, leave))
    source = "import builtins, math\ndef f():\n    return hasattr(builtins, 'left'), hasattr(math, 'left')\n"
    yield from judge(sandbox, tried(source, equal("f()", "(False, False)"), "assert not hasattr(math, 'left')"))


def files_are_gone_with_their_program(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """The next one finds an empty directory."""
    yield from judge(sandbox, tried("import os\nos.mkdir('d')\nopen('d/left', 'w').close()\n"))
    yield from judge(sandbox, tried("import os\ndef f():\n    return os.listdir('.')\n", equal("f()", "[]")))


def sets_have_the_same_order_each_time(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Strings hash alike in every run: a verdict can be had again."""
    program = tried("def f():\n    return list({'a', 'b', 'c', 'd', 'e'})\n", "f()")
    orders = {tuple(check.observed for check in sandbox.run(program).checks) for _ in range(3)}
    if len(orders) > 1:
        yield differs("order of a set", "the same each time", orders)


def an_honest_program_passes_after_any_other(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """A crash, an exit, a time-out or too much of something takes nothing along."""
    for source in (
        "import ctypes\nctypes.string_at(0)",
        "import os\nos._exit(0)",
        SPIN + "spin()",
        "x = [bytearray(1 << 24) for _ in range(128)]",
        THREADS,
    ):
        yield from judge(sandbox, tried(source), Answer(status=NOT_PASSED), Limits(cpu_seconds=0.3, wall_seconds=4))
        yield from judge(sandbox, _HONEST)


def nothing_outside_is_reached(sandbox: Sandbox, _: Factory) -> Iterator[str]:
    """Seen from outside: a folder that everybody may write to, and a port that listens, are as they were."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as server:
        folder, secret = Path(name), Path(name) / "secret"
        secret.write_text("kept", encoding="utf-8")
        secret.chmod(0o666)
        folder.chmod(0o777)
        call = f"reached({name!r}, {server.getsockname()[1]})"
        yield from judge(sandbox, tried(_REACHES, equal(call, "[]")))
        left = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        if left != {"secret": "kept"}:
            yield differs("files outside", {"secret": "kept"}, left)
        server.setblocking(False)
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return
        yield differs("connections", "none", "one")


def _set_soon() -> threading.Event:
    event = threading.Event()
    threading.Timer(_SOON, event.set).start()
    return event


def _refusal(sandbox: Sandbox, program: Program) -> Iterator[str]:
    try:
        verdict = sandbox.run(program)
    except SandboxError:
        return
    yield differs("run", "SandboxError", verdict)


CASES = (
    Steps(closing_twice),
    Steps(no_run_after_close),
    Steps(closing_ends_a_running_program, LIVE),
    Steps(cancelling_ends_a_running_program, LIVE),
    Steps(cancelling_ends_a_program_that_waits, LIVE),
    Steps(cancelled_before_it_starts, LIVE),
    Steps(limits_too_short_to_start, LIVE),
    Steps(submitted_programs_have_verdicts),
    Steps(cancelling_a_submitted_program, LIVE),
    Steps(several_threads_at_once),
    Steps(programs_do_not_see_each_other),
    Steps(files_are_gone_with_their_program, WRITABLE),
    Steps(sets_have_the_same_order_each_time),
    Steps(an_honest_program_passes_after_any_other),
    Steps(nothing_outside_is_reached, CONTAINED),
)
