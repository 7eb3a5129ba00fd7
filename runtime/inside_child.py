"""A forked process: how it is made, what it may keep, and what became of it. Runs inside the sandbox."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from leafwise.runtime.inside_walls import Walls
from leafwise.runtime.inside_wire import LinkBrokenError

_CPU_CLOCK_OF_PROCESS = 2
_MAX_DESCRIPTOR = 1 << 20


class Child:
    """A child of the zygote.

    Args:
        pid: its process id, as `fork` gave it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self.cpu = 0.0
        """Seconds of CPU time, known when it has ended."""
        self._fd = os.pidfd_open(pid)

    def cpu_now(self) -> float:
        """Seconds of CPU time until now."""
        try:
            return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK_OF_PROCESS)
        except OSError:
            return 0.0

    def end(self) -> None:
        """Kill it, if it still runs, and wait for it."""
        if self.status is None:
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)  # also fine for one that waits to be waited for
            _, status, usage = os.wait4(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            self.cpu = usage.ru_utime + usage.ru_stime
            os.close(self._fd)


def fork(body: Callable[[], None]) -> Child:
    """Run `body` in a new process, which ends after it."""
    pid = os.fork()
    if pid:
        return Child(pid)
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        body()
        status = 0
    except LinkBrokenError:
        status = 0  # the other side is done
    except BaseException as error:  # nothing may run on into the zygote's loop
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def keep_only(*fds: int) -> None:
    """Close every descriptor but the standard ones and these."""
    low = 3
    for fd in sorted(fds):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, _MAX_DESCRIPTOR)


def content(fd: int) -> bytes:
    """All that is in a memory file."""
    size = os.fstat(fd).st_size
    data = os.pread(fd, size, 0)
    while len(data) < size and (part := os.pread(fd, size - len(data), len(data))):
        data += part
    return data


def wall_in(walls: Walls, limits: dict[str, Any], zygote: int, *, kept: bool = False) -> str:
    """Put the walls up around this process.

    Returns:
        "", or what went wrong: then nothing untrusted may be run.
    """
    try:
        walls.enter(limits, kept=kept)
    except Exception as error:  # any wall that is missing counts, whatever the reason
        return f"{type(error).__name__}: {error}"
    # Otherwise it died before the kernel was told to take this process along.
    return "" if os.getppid() == zygote else "the zygote is gone"
