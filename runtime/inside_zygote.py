"""The warm process inside the sandbox: forks a solver and a tester per program, watches the clock, reports the end.

It never executes a program and never sees a program's or a test's text: both arrive as descriptors that only the child
reads. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from leafwise.runtime.inside_solver import run_solver
from leafwise.runtime.inside_tester import run_tester
from leafwise.runtime.inside_walls import Layers, die_with_parent, undumpable
from leafwise.runtime.inside_wire import Link, LinkBrokenError

_WARM = (
    "abc array base64 bisect calendar cmath collections contextlib copy csv dataclasses datetime decimal difflib enum "
    "fractions functools hashlib heapq inspect io itertools json linecache logging math numbers operator pprint queue "
    "random re secrets statistics string struct tempfile textwrap threading time traceback typing unicodedata uuid zlib"
)
"""Modules that programs often import."""
_CPU_CLOCK_OF_PROCESS = 2
_SHORTEST_WAIT = 0.002


class _Child:
    """A forked process and what became of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = os.pidfd_open(pid)
        self.status: int | None = None
        self.cpu = 0.0

    def cpu_now(self) -> float:
        try:
            return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK_OF_PROCESS)
        except OSError:
            return 0.0

    def kill(self) -> None:
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.fd, signal.SIGKILL)

    def reap(self) -> None:
        if self.status is None:
            _, status, usage = os.wait4(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            self.cpu = usage.ru_utime + usage.ru_stime

    def close(self) -> None:
        self.kill()
        self.reap()
        os.close(self.fd)


def serve(control: socket.socket, config: dict[str, Any]) -> None:
    """Take jobs from the supervisor until it is gone. A job is one message with four descriptors."""
    if config["die_with_parent"]:
        die_with_parent(signal.SIGKILL)
    undumpable()
    try:
        layers = Layers(**config["layers"])
    except Exception as error:  # the supervisor has to hear of it, whatever it is
        control.send(json.dumps({"broken": f"{type(error).__name__}: {error}"}).encode())
        return
    for name in _WARM.split():
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that children share
    gc.disable()
    control.send(json.dumps({"ready": True}).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not data:
            return
        if not fds:
            continue  # a cancellation that came after its job had ended
        report = _run(control, layers, json.loads(data), fds)
        if report is None:
            return
        control.send(json.dumps(report).encode())


def _run(control: socket.socket, layers: Layers, limits: dict[str, Any], fds: list[int]) -> dict[str, Any] | None:
    source, output, checks, verdict = fds
    solver_end, tester_end = socket.socketpair()
    ready_out, ready_in = os.pipe()
    zygote = os.getpid()

    def solve() -> None:
        os.dup2(output, 1)
        os.dup2(output, 2)
        _keep_only(source, solver_end.fileno(), ready_in, *layers.descriptors())
        code = json.loads(_content(source))
        _wall_in(layers, limits, zygote, ready_in, b"s")
        run_solver(code, solver_end)

    def test() -> None:
        os.dup2(0, 1)
        os.dup2(0, 2)
        _keep_only(checks, verdict, tester_end.fileno(), ready_in, *layers.descriptors())
        job = json.loads(_content(checks))
        _wall_in(layers, limits, zygote, ready_in, b"t")
        run_tester(job, Link(tester_end), verdict)

    solver, tester = _fork(solve), _fork(test)
    for fd in (*fds, ready_in):
        os.close(fd)
    solver_end.close()
    tester_end.close()
    try:
        reason = _watch(control, solver, tester, limits)
    finally:
        tester.close()  # first: it must not take a time-out for a crash
        solver.close()
    with os.fdopen(ready_out, "rb") as file:
        ready = file.read(1000)
    if reason == "gone":
        return None
    return {
        "reason": reason,
        "broken": "" if set(ready) == set(b"st") else ready.decode(errors="replace") or "a process died early",
        "solver": solver.status,
        "tester": tester.status,
        "cpu": solver.cpu,
        "clean": layers.clean(),
    }


def _fork(body: Callable[[], None]) -> _Child:
    pid = os.fork()
    if pid:
        return _Child(pid)
    status = 1
    try:
        body()
        status = 0
    except LinkBrokenError:
        status = 0  # the tester is done
    except BaseException as error:  # nothing may run on into the zygote's loop
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def _keep_only(*fds: int) -> None:
    low = 3
    for fd in sorted(fds):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 1 << 20)


def _content(fd: int) -> bytes:
    data = bytearray()
    while part := os.pread(fd, 1 << 20, len(data)):
        data += part
    os.close(fd)
    return bytes(data)


def _wall_in(layers: Layers, limits: dict[str, Any], zygote: int, ready: int, name: bytes) -> None:
    try:
        layers.enter(limits)
        if os.getppid() != zygote:
            raise ProcessLookupError("the zygote is gone")  # before the kernel was told to take this process along
    except Exception as error:  # any wall that is missing means: do not run the program
        os.write(ready, f"!{type(error).__name__}: {error}".encode())
        os._exit(1)
    os.write(ready, name)
    os.close(ready)


def _watch(control: socket.socket, solver: _Child, tester: _Child, limits: dict[str, Any]) -> str:
    """Wait for the tester to end or a limit to be reached.

    Returns:
        "" when the tester ended, else `cpu`, `wall`, `cancelled`, or `gone` for the supervisor.
    """
    poll = select.poll()
    for fd in (tester.fd, control.fileno()):
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + limits["wall_seconds"]
    cores = len(os.sched_getaffinity(0))
    while True:
        cpu_left = limits["cpu_seconds"] - max(solver.cpu_now(), tester.cpu_now())
        wall_left = deadline - time.monotonic()
        if cpu_left <= 0 or wall_left <= 0:
            return "cpu" if cpu_left <= 0 else "wall"
        wait = max(_SHORTEST_WAIT, min(wall_left, cpu_left / cores))
        events = [fd for fd, _ in poll.poll(wait * 1000)]
        if control.fileno() in events:
            return "cancelled" if control.recv(100) else "gone"
        if tester.fd in events:
            return ""
