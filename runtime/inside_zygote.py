"""The warm process inside the sandbox: forks a solver and a tester per program, watches the clock, reports the end.

It never executes a program and never sees a program's or a test's text: both arrive as descriptors that only the child
reads. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import time
from typing import Any

from leafwise.runtime.inside_child import Child, content, fork, keep_only, wall_in
from leafwise.runtime.inside_imports import allow_packages
from leafwise.runtime.inside_report import Report
from leafwise.runtime.inside_solver import prepare, run_solver
from leafwise.runtime.inside_tester_process import TesterProcess
from leafwise.runtime.inside_walls import Walls
from leafwise.runtime.layer_privileges import die_with_parent, undumpable

_WARM = (
    "abc bisect collections contextlib copy enum functools heapq io itertools json linecache math numbers operator re "
    "string struct textwrap time typing"
)
"""Modules that programs often import. Each costs every child, so the rarer ones are left to those that need them; and
none imports `threading` or `random`, which have work to do after a fork.
"""
_SHORTEST_WAIT = 0.002
_TRACE_SHARE = 0.7
"""Part of the CPU limit after which a traced program is interrupted instead of killed."""
Limits = dict[str, Any]
"""The fields of the contract `Limits`."""


def serve(control: socket.socket, config: dict[str, Any], ruleset: int | None) -> None:
    """Take jobs from the supervisor until it is gone.

    A job is one message with three descriptors: the program, where its output goes, and its checks, to which the
    verdict is appended.

    Args:
        control: the supervisor.
        config: what it wants: arguments of `Walls`, packages to allow.
        ruleset: Landlock's rules; None where there are none.
    """
    if config["die_with_parent"]:
        # Not SIGKILL, because there may be a directory to remove; the signal is then the same as a closed socket.
        signal.signal(signal.SIGTERM, lambda *_: control.shutdown(socket.SHUT_RD))
        die_with_parent(signal.SIGTERM)
    undumpable()
    try:
        walls = Walls(**config["walls"], ruleset=ruleset)
    except Exception as error:  # the supervisor has to hear of it, whatever it is
        control.send(json.dumps({"broken": f"{type(error).__name__}: {error}"}).encode())
        return
    zygote = _Zygote(control, walls)
    try:
        broken = _warm_up(config)
        ready = {"ready": [layer.name for layer in walls.layers], "folder": walls.folder}
        control.send(json.dumps({"broken": broken} if broken else ready).encode())
        zygote.serve()
    except BrokenPipeError:
        pass  # the supervisor is gone
    finally:
        zygote.end()


def _warm_up(config: dict[str, Any]) -> str:
    """Do once what each child would do; what went wrong, for the supervisor."""
    try:
        allow_packages(config["packages"], config["imports"])
    except Exception as error:  # code of a package that was asked for
        return f"{type(error).__name__}: {error}"
    for name in _WARM.split():
        importlib.import_module(name)
    out, into = os.pipe()
    prepare(into)
    os.close(out)
    os.close(into)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that children share
    gc.disable()
    return ""


class _Zygote:
    def __init__(self, control: socket.socket, walls: Walls) -> None:
        self._control = control
        self._walls = walls
        self._pid = os.getpid()
        self._cores = len(os.sched_getaffinity(0))
        self._tester: TesterProcess | None = None
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        known, job = b"", {}
        while True:
            data, fds, _, _ = socket.recv_fds(self._control, 1 << 16, 3)
            if not data:
                return
            if data == b"cancel":
                continue  # it came after its job had ended
            if data != known:
                known, job = data, json.loads(data)  # mostly the same as before: the limits
            if not fds:
                self._control.send(json.dumps(self._self_test(job["limits"])).encode())
            elif (report := self._run(job, *fds)) is not None:
                self._control.send(report.pack())
            else:
                return

    def _run(self, job: dict[str, Any], source: int, output: int, checks: int) -> Report | None:
        limits, kept = job["limits"], job["kept"]
        self._walls.prepare(limits)
        tester = self._tester_for(limits, kept)
        solver_end, tester_end = socket.socketpair()
        ready_out, ready_in = os.pipe()

        def solve() -> None:
            os.dup2(output, 1)
            os.dup2(output, 2)
            keep_only(source, solver_end.fileno(), ready_in, *self._walls.descriptors())
            program = content(source)
            os.close(source)
            wrong = wall_in(self._walls, limits, self._pid)
            os.write(ready_in, wrong.encode() or b"+")
            os.close(ready_in)
            if not wrong:
                run_solver(program, solver_end, _TRACE_SHARE * limits["cpu_seconds"] if job["trace"] else None)

        solver = fork(solve)
        tester.take(checks, tester_end.fileno())
        for fd in (source, output, checks, ready_in):
            os.close(fd)
        solver_end.close()
        tester_end.close()
        reason = self._watch(solver, tester, limits)
        if reason or not kept:
            self._end_tester()  # before the solver: it must not take a time-out for a crash
        solver.end()
        said = os.read(ready_out, 1000).decode(errors="replace")
        os.close(ready_out)
        empty, new = self._walls.clean()
        if new:
            self._end_tester()  # it holds the old directory
        if reason == "gone":
            return None
        # One that was killed here, for a limit or by the user, had no time to say that it stood.
        broken = (said if said != "+" else "") or ("" if said or reason else "a process died early")
        return Report(reason, solver.status, tester.status, solver.cpu, empty, tester.broken or broken)

    def _tester_for(self, limits: Limits, kept: bool) -> TesterProcess:
        if self._tester is None or not kept or not self._tester.serves(limits):
            self._end_tester()
            self._tester = TesterProcess(self._walls, limits, kept, self._pid)
            self._poll.register(self._tester, select.POLLIN)
        return self._tester

    def _end_tester(self) -> None:
        if self._tester is not None:
            self._poll.unregister(self._tester)
            self._tester.end()
            self._tester = None

    def _watch(self, solver: Child, tester: TesterProcess, limits: Limits) -> str:
        """Wait for the tester's word or for a limit.

        Returns:
            "" when the tester is done, `ended` when it ended instead, else `cpu`, `wall`, `cancelled`, or `gone` for
            the supervisor.
        """
        deadline = time.monotonic() + limits["wall_seconds"]
        while True:
            cpu_left = limits["cpu_seconds"] - max(solver.cpu_now(), tester.cpu_now())
            wall_left = deadline - time.monotonic()
            if cpu_left <= 0 or wall_left <= 0:
                return "cpu" if cpu_left <= 0 else "wall"
            wait = max(_SHORTEST_WAIT, min(wall_left, cpu_left / self._cores))
            events = [fd for fd, _ in self._poll.poll(wait * 1000)]
            if self._control.fileno() in events:
                return "cancelled" if self._control.recv(100) else "gone"
            if tester.fileno() in events and (word := tester.hear()):
                return "" if word == "done" else word

    def end(self) -> None:
        """Leave nothing behind; the supervisor may have been killed."""
        self._end_tester()  # it would not be gone yet when the supervisor sees the control socket close
        self._walls.remove()

    def _self_test(self, limits: Limits) -> dict[str, Any]:
        """Have each layer try itself, each in a child of its own."""
        holes: dict[str, list[str]] = {}
        for number, layer in enumerate(self._walls.layers):
            out, into = os.pipe()

            def try_it(number: int = number, into: int = into) -> None:
                keep_only(into, *self._walls.descriptors())
                os.write(into, json.dumps(self._walls.test(number, limits)).encode())

            child = fork(try_it)
            os.close(into)
            with os.fdopen(out, "rb") as file:
                said = file.read(4000)
            child.end()
            holes[layer.name] = json.loads(said) if said else [f"its test ended with {child.status}"]
            self._walls.clean()
        return {"holes": holes}
