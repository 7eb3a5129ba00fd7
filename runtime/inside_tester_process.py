"""The zygote's hold on a tester: a process that judges one program, or many one after the other.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from leafwise.runtime.inside_child import Child, fork, keep_only, wall_in
from leafwise.runtime.inside_tester import DONE, WORN, keep_testing
from leafwise.runtime.inside_walls import Walls

MAX_SERVED = 200
"""Programs that one tester judges before it is replaced."""
VERDICT_MB = 64
"""Room for the verdict, which is a file, whatever files the program may write."""
_READY = b"ready"


class TesterProcess:
    """A tester, forked by the zygote.

    Args:
        walls: what it puts around itself.
        limits: the fields of `Limits`, for all that it serves.
        kept: whether it is to serve more than one program; it then has no CPU limit of its own.
        zygote: the process id of the caller.
    """

    def __init__(self, walls: Walls, limits: dict[str, Any], kept: bool, zygote: int) -> None:
        self.broken = ""
        """What went wrong when its walls were put up; then it judges nothing."""
        self._limits = limits
        self._served = 0
        self._worn = self._ready = False
        self._cpu_before = 0.0
        self._control, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def test() -> None:
            os.dup2(0, 1)
            os.dup2(0, 2)
            keep_only(inner.fileno(), *walls.descriptors())
            bounded = limits | {"file_mb": max(limits["file_mb"], VERDICT_MB)}
            wrong = wall_in(walls, bounded, zygote, kept=kept)
            inner.send(wrong.encode()[:1000] or _READY)
            if not wrong:
                keep_testing(inner, walls.folder, kept)

        self._child: Child = fork(test)
        inner.close()

    def serves(self, limits: dict[str, Any]) -> bool:
        """Whether it may judge one more program, under these limits."""
        return not self._worn and self._served < MAX_SERVED and self._limits == limits

    def take(self, checks: int, link: int) -> None:
        """Hand it a program's checks and the socket to the solver, as descriptors."""
        self._served += 1
        self._cpu_before = self._child.cpu_now()
        try:
            socket.send_fds(self._control, [b"job"], [checks, link])
        except OSError:  # it has ended already
            self._worn = True

    def hear(self) -> str:
        """Its next message, which must be there: `done`, `ended`, or "" for one that matters to nobody."""
        try:
            said = self._receive()
        except OSError:
            said = b""
        if said == _READY:
            self._ready = True
            return ""
        if said in (DONE, WORN):
            self._worn = said == WORN
            return "done"
        if not self._ready:
            self.broken = said.decode(errors="replace") or "the process of the checks ended before its walls stood"
        return "ended"

    def _receive(self) -> bytes:
        try:
            return self._control.recv(2000)
        except ConnectionResetError:  # it ended without reading a program; what it said before is still there
            return self._control.recv(2000)

    def fileno(self) -> int:
        """Readable when there is something to hear."""
        return self._control.fileno()

    def cpu_now(self) -> float:
        """Seconds of CPU time that it has spent on the program it has."""
        return self._child.cpu_now() - self._cpu_before

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._child.status

    def end(self) -> None:
        """Kill it, if it still runs, and wait for it."""
        self._child.end()
        self._control.close()
