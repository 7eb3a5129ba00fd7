"""Keeps native code off standard output, which belongs to the results."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_libc = ctypes.CDLL(None)
_turn = threading.Lock()


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Let what the C library writes to standard output go nowhere meanwhile.

    The descriptor is the process's: what other threads write to it in the block is lost too. Python's own buffer is not
    touched.
    """
    with _turn:
        try:
            kept = os.dup(1)
        except OSError:  # there is no standard output
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        _libc.fflush(None)  # what was written before is wanted
        os.dup2(nowhere, 1)
        try:
            yield
        finally:
            _libc.fflush(None)  # into nothing: a pipe's buffer would be written later
            os.dup2(kept, 1)
            os.close(kept)
            os.close(nowhere)
