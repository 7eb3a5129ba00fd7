"""Finds what outlives a killed process: the kernel hands its orphans to the one that asked for them.

A process may become the parent of all orphans below it (Linux, PR_SET_CHILD_SUBREAPER, see prctl(2)). Whatever a killed
child leaves behind, in whatever session and with whatever environment, is then a descendant of this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator

import psutil

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.sandbox_footprint import descendants, still_alive

_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.01


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """While this lasts, orphans below this process become its children.

    Raises:
        BenchmarkError: the system has no such thing.
    """
    _adopt(1)
    try:
        yield
    finally:
        _adopt(0)


def await_end(before: set[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all descendants that were not there before have ended, and reap those that were adopted.

    Args:
        before: descendants that are no business of this.
        seconds: the longest wait.

    Returns:
        Who still lives.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = descendants() - before
        living = still_alive(found)
        for process in found.difference(living):
            with contextlib.suppress(ChildProcessError):  # somebody else's child, or reaped
                os.waitpid(process.pid, os.WNOHANG)
        if not living or time.monotonic() > deadline:
            return living
        time.sleep(_POLL_SECONDS)


def described(process: psutil.Process) -> str:
    """A process on one line."""
    with contextlib.suppress(psutil.NoSuchProcess):
        line = " ".join(process.cmdline())[:100]
        return f"{process.pid} {process.name()} ({process.status()}) {line}"
    return f"{process.pid} (ended by now)"


def _adopt(wanted: int) -> None:
    try:
        done = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(wanted), 0, 0, 0)
    except AttributeError:  # no prctl
        done = -1
    if done != 0:
        raise BenchmarkError("this system does not hand orphans over", "run it on Linux")
