"""One engine process, seen from its parent: started, listened to, watched, and accounted for when it dies."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from leafwise.runtime.crash_signals import CRASHES, signal_name
from leafwise.runtime.engine_wire import (
    REPORTS,
    Beat,
    GarbledError,
    Hello,
    Link,
    LinkBrokenError,
    LogLine,
    Ready,
    Report,
    beat_seconds,
    pack,
)
from leafwise.runtime.errors import EngineCrashedError, LeafwiseError

_OPENING_SILENCE = 60.0  # seconds: importing llama.cpp from a cold disk, on a machine that is busy
_SILENCE = 30.0  # seconds; less for those who want hangs found sooner
_LEAST_SILENCE = 2.0
_SEND_SECONDS = 30.0
_END_SECONDS = 2.0
_TAIL = 4096  # bytes of standard error that are kept
# Frames of a native backtrace, and what gdb prints above one: the line that says what happened stands before them.
_BACKTRACE = re.compile(r"\[0x[0-9a-f]+\]$|^#\d|^\[|^0x[0-9a-f]+ in ")

# Large pages for what malloc gets from the system: llama.cpp writes zeros over its whole cache when it opens, and page
# by page that takes seconds (measured: 1.9 GB in 2.4 s, with large pages in 0.3 s). OpenMP's threads spin while they
# wait: beside other work on the machine that costs more than it gains. Both have to be set before a process starts.
# And no backtrace of ggml's: where gdb is installed it lets that speak, after the line that says what happened.
_ENVIRONMENT = ("GLIBC_TUNABLES=glibc.malloc.hugetlb=1", "GOMP_SPINCOUNT=1000", "GGML_NO_BACKTRACE=1")

CHILD_COMMAND = ("env", *_ENVIRONMENT, sys.executable, "-P", "-m", "leafwise.runtime.isolated_child")
"""Starts the child. `-P`: a `llama_cpp.py` in the current directory must not be imported."""


class EngineProcess:
    """A child process with an engine in it.

    Args:
        command: starts it; the number of its socket's descriptor is added.
        folder: its current directory.
        hello: what it opens.

    Raises:
        OSError: it can not be started.
    """

    def __init__(self, command: tuple[str, ...], folder: Path, hello: Hello) -> None:
        self._end, theirs = socket.socketpair()
        try:
            with theirs:
                self._popen = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # native code may print: that must not reach the user's own output
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is for the parent
                )
        except OSError:
            self._end.close()
            raise
        assert self._popen.stdout is not None
        self._output = self._popen.stdout
        self._tail = b""
        self._end.settimeout(_SEND_SECONDS)
        self._link = Link(self._end, REPORTS)
        self._hang_seconds = hello.options.hang_seconds
        self._tick = beat_seconds(hello.options)
        self._silence = _OPENING_SILENCE
        self._long_beats = 0
        self._cause: LeafwiseError | None = None
        self.send(pack(hello))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    def send(self, frame: bytes) -> None:
        """Send a frame of orders. If the process is gone, nothing happens: who listens hears of that."""
        try:
            self._link.send(frame)
        except LinkBrokenError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._hung(f"it read nothing for {_SEND_SECONDS:.0f} s")

    def kill(self, cause: LeafwiseError) -> None:
        """End it now.

        Args:
            cause: why, for those whose requests it takes along. The first one counts.
        """
        self._cause = self._cause or cause
        self._popen.kill()

    def end(self) -> None:
        """Let it end, or kill it if it does not; what it still says is listened to."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._end.shutdown(socket.SHUT_WR)  # takes no lock and never waits, unlike a message
        try:
            self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()

    def listen(self, receive: Callable[[Report], None]) -> None:
        """Hand on what the process reports, until it is over; kill it if it hangs or sends what is no message."""
        try:
            self._listen(receive)
        except GarbledError as error:
            self.kill(EngineCrashedError(f"the engine's process sent what is {error}", "please report this"))
        except LinkBrokenError:
            pass
        finally:
            self._reap()

    def error(self) -> LeafwiseError:
        """Why the process is over, as an error of its own for everyone who asks."""
        if self._cause is not None:
            return type(self._cause)(self._cause.message, self._cause.hint)
        code, said = self._popen.returncode, self._last_line()
        if code >= 0:
            detail = f": {said}" if said else ""
            return EngineCrashedError(f"the engine's process ended with status {code}{detail}", "please report this")
        name = signal_name(-code)
        detail = f"{name}: {said}" if said else name
        if name == "SIGKILL":
            return EngineCrashedError(
                f"the engine's process was killed ({detail})",
                "most likely too little memory: use a smaller model, a smaller context, or kv_type q8_0",
            )
        if name in CRASHES:
            return EngineCrashedError(
                f"the engine's process crashed ({detail})",
                "`leafwise doctor` says whether the installed llama.cpp fits this machine",
            )
        return EngineCrashedError(f"the engine's process was ended from outside ({detail})", "try it again")

    # the listening thread

    def _listen(self, receive: Callable[[Report], None]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._end, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            silent, before = 0.0, time.monotonic()
            while True:
                ready = {key.fileobj for key, _ in selector.select(self._tick)}
                now = time.monotonic()
                # two ticks at most: this process may itself have been stopped (Ctrl-Z) for hours
                silent, before = silent + min(now - before, 2 * self._tick), now
                if self._output in ready and not self._read_output():
                    selector.unregister(self._output)
                if self._end in ready:
                    silent = 0.0
                    for report in self._link.receive():
                        self._hand_on(report, receive)
                if silent > self._silence:
                    self._hung(f"no sign of life for {self._silence:.0f} s")

    def _hand_on(self, report: Report, receive: Callable[[Report], None]) -> None:
        if isinstance(report, LogLine):
            logging.getLogger(report.logger).log(report.level, "%s", report.text)
            return
        if isinstance(report, Ready):
            self._silence = min(_SILENCE, max(_LEAST_SILENCE, self._hang_seconds))
        if isinstance(report, Beat):
            # one long beat is no proof: both processes may have been frozen within a step
            self._long_beats = self._long_beats + 1 if report.busy > self._hang_seconds else 0
            if self._long_beats > 1:
                self._hung(f"a step took longer than {self._hang_seconds:g} s")
        receive(report)

    def _hung(self, how: str) -> None:
        self.kill(
            EngineCrashedError(
                f"the engine's process hung ({how}) and was ended",
                "use a smaller model or context, or allow longer steps: EngineOptions(hang_seconds=...)",
            )
        )

    def _read_output(self) -> bool:
        """Keep the end of what it printed; false when nothing can come any more."""
        data = os.read(self._output.fileno(), 1 << 16)
        self._tail = (self._tail + data)[-_TAIL:]
        return bool(data)

    def _last_line(self) -> str:
        """The last line it printed that says something."""
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        telling = [line for line in lines if not _BACKTRACE.search(line)]
        return (telling or lines or [""])[-1][:200]

    def _reap(self) -> None:
        try:
            self._popen.wait(_END_SECONDS)  # who dies closes the socket a moment before
        except subprocess.TimeoutExpired:
            self.kill(EngineCrashedError("the engine's process stopped talking", "please report this"))
            self._popen.wait()
        os.set_blocking(self._output.fileno(), False)  # a process of the child's may still hold the other end
        try:
            while self._read_output():
                pass
        except BlockingIOError:
            pass
        self._output.close()
        self._end.close()
