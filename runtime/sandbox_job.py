"""One program's way through a worker: its output, the wait with the second timer, and what came back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

from leafwise.runtime.errors import SandboxBrokenError
from leafwise.runtime.inside_report import Report
from leafwise.runtime.sandbox_contracts import Limits

GRACE_SECONDS = 5.0
"""How much longer than the wall-clock limit the supervisor waits for the zygote's word."""
_READ = 1 << 18
_FLOOD_PAUSE_SECONDS = 0.02
"""How often output is read that is only thrown away: a program must not cost the supervisor as much as itself."""
_MESSAGE_BYTES = 80_000
"""Longest honest message of the tester: observed value, error and trace, escaped."""


@dataclass
class Outcome:
    """What the supervisor knows when a program has ended."""

    report: Report
    """The zygote's word."""
    messages: list[dict[str, Any]]
    """The tester's messages."""
    output: str = ""
    output_cut: bool = False
    seconds: float = 0.0


class Job:
    """One program in a worker; a context manager that closes its pipe.

    Args:
        limits: the program's limits.
        checks: how many checks there are; bounds what is read of the tester's messages.
    """

    def __init__(self, limits: Limits, checks: int) -> None:
        self._limits = limits
        self._checks = checks
        self._kept = bytearray()
        self._dropped = False

    def __enter__(self) -> Job:
        self._output, self.output_in = os.pipe()
        self._open = [self._output, self.output_in]
        with contextlib.suppress(OSError):  # fewer wake-ups for programs that print a lot
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _READ)
        os.set_blocking(self._output, False)
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open:
            os.close(fd)

    def wait(self, control: socket.socket, tester: int, offset: int) -> Outcome:
        """Collect the output until the zygote reports the end; then read what the tester said.

        Args:
            control: to the zygote.
            tester: the memory file of the checks.
            offset: where the checks end and the tester's messages begin.

        Raises:
            SandboxBrokenError: the zygote died or a wall could not be put up.
        """
        self._open.remove(self.output_in)
        os.close(self.output_in)
        start = time.monotonic()
        report = self._collect(control, start + self._limits.wall_seconds + GRACE_SECONDS)
        self._drain()
        if report.broken:
            raise SandboxBrokenError(f"a program could not be walled in: {report.broken}")
        text = self._kept.decode(errors="replace")
        cut = self._dropped or len(text) > self._limits.output_chars
        said = min(os.fstat(tester).st_size - offset, (self._checks + 4) * _MESSAGE_BYTES)
        messages = _messages(os.pread(tester, max(0, said), offset))
        return Outcome(report, messages, text[: self._limits.output_chars], cut, seconds=time.monotonic() - start)

    def _collect(self, control: socket.socket, deadline: float) -> Report:
        poll = select.poll()
        poll.register(control, select.POLLIN)
        poll.register(self._output, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            flooded = self._dropped
            for fd, _ in poll.poll(1000 * (min(left, _FLOOD_PAUSE_SECONDS) if flooded else left)):
                if fd == control.fileno():
                    return _report(control)
                if not self._drain() or self._dropped:
                    poll.unregister(self._output)
            if flooded:
                self._drain()
        return Report("wall", solver=None, tester=None, cpu=0.0, clean=False)

    def _drain(self) -> bool:
        """Read the output that is there; False at its end."""
        while True:
            try:
                data = os.read(self._output, _READ)
            except BlockingIOError:
                return True
            if not data:
                return False
            room = 4 * self._limits.output_chars - len(self._kept)
            self._kept += data[: max(0, room)]
            self._dropped = self._dropped or len(data) > room
            if len(data) < _READ:
                return True  # give the control socket and the timer their turn


def _report(control: socket.socket) -> Report:
    try:
        data = control.recv(1 << 16)
    except OSError as error:
        raise SandboxBrokenError(f"the sandbox's worker died: {error}") from error
    if not data:
        raise SandboxBrokenError("the sandbox's worker died")
    return Report.unpack(data)


def _messages(data: bytes) -> list[dict[str, Any]]:
    messages = []
    for line in data.split(b"\n")[:-1]:
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(line)
            if isinstance(message, dict):
                messages.append(message)
    return messages
