"""The signals that end a process: their names, and which of them native code raises on itself."""

from __future__ import annotations

import signal

CRASHES = frozenset({"SIGSEGV", "SIGILL", "SIGBUS", "SIGFPE", "SIGABRT", "SIGTRAP", "SIGSYS"})
"""Raised by native code on itself. Others come from outside: Ctrl-C, the kernel out of memory."""


def signal_name(number: int) -> str:
    """For example `SIGSEGV`; `signal 77` where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
