"""One program's way through a worker: its pipes, the wait with the second timer, and what came back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from leafwise.runtime.errors import SandboxBrokenError
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

    report: dict[str, Any]
    """The zygote's word: why it ended, exit statuses, CPU time, whether the scratch directory is clean."""
    messages: list[dict[str, Any]]
    """The tester's messages."""
    output: str = ""
    output_cut: bool = False
    seconds: float = 0.0


@dataclass
class Job:
    """The two pipes of one program; a context manager that closes them.

    Args:
        limits: the program's limits.
        checks: how many checks there are; bounds what the tester may write.
    """

    limits: Limits
    checks: int
    _kept: bytearray = field(default_factory=bytearray)
    _verdict: bytearray = field(default_factory=bytearray)
    _dropped: bool = False

    def __enter__(self) -> Job:
        self._output, self.output_in = os.pipe()
        self._verdict_out, self.verdict_in = os.pipe()
        with contextlib.suppress(OSError):  # fewer wake-ups for programs that print a lot
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _READ)
        for fd in (self._output, self._verdict_out):
            os.set_blocking(fd, False)
        self._open = [self._output, self.output_in, self._verdict_out, self.verdict_in]
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open:
            os.close(fd)

    def wait(self, control: socket.socket) -> Outcome:
        """Collect output and verdict until the zygote reports the end.

        Raises:
            SandboxBrokenError: the zygote died or a wall could not be put up.
        """
        for fd in (self.output_in, self.verdict_in):
            self._open.remove(fd)
            os.close(fd)
        start = time.monotonic()
        report = self._collect(control, start + self.limits.wall_seconds + GRACE_SECONDS)
        self._drain(self._output)
        self._drain(self._verdict_out)
        if report.get("broken"):
            raise SandboxBrokenError(f"a program could not be walled in: {report['broken']}")
        text = self._kept.decode(errors="replace")
        cut = self._dropped or len(text) > self.limits.output_chars
        return Outcome(
            report, self._messages(), text[: self.limits.output_chars], cut, seconds=time.monotonic() - start
        )

    def _collect(self, control: socket.socket, deadline: float) -> dict[str, Any]:
        poll = select.poll()
        for fd in (control.fileno(), self._output, self._verdict_out):
            poll.register(fd, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            flooded = self._dropped
            for fd, _ in poll.poll(1000 * (min(left, _FLOOD_PAUSE_SECONDS) if flooded else left)):
                if fd == control.fileno():
                    return self._report(control)
                if not self._drain(fd) or (fd == self._output and self._dropped):
                    poll.unregister(fd)
            if flooded:
                self._drain(self._output)
        return {"reason": "wall", "clean": False, "cpu": 0.0, "solver": None, "tester": None}

    def _report(self, control: socket.socket) -> dict[str, Any]:
        try:
            data = control.recv(1 << 16)
        except OSError as error:
            raise SandboxBrokenError(f"the sandbox's worker died: {error}") from error
        if not data:
            raise SandboxBrokenError("the sandbox's worker died")
        report: dict[str, Any] = json.loads(data)
        return report

    def _drain(self, fd: int) -> bool:
        """Read what is there; False at the end of the pipe."""
        target, most = (
            (self._kept, 4 * self.limits.output_chars)
            if fd == self._output
            else (self._verdict, (self.checks + 4) * _MESSAGE_BYTES)
        )
        while True:
            try:
                data = os.read(fd, _READ)
            except BlockingIOError:
                return True
            if not data:
                return False
            room = most - len(target)
            target += data[: max(0, room)]
            if len(data) > room and fd == self._output:
                self._dropped = True
            if len(data) < _READ:
                return True  # give the other pipe and the timer their turn

    def _messages(self) -> list[dict[str, Any]]:
        messages = []
        for line in bytes(self._verdict).split(b"\n")[:-1]:
            with contextlib.suppress(ValueError, RecursionError):
                message = json.loads(line)
                if isinstance(message, dict):
                    messages.append(message)
        return messages
