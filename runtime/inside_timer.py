"""Ends a call of the candidate that takes too long, so that one check does not use up the time of all others.

Kept by the candidate's own process, which may undo it: the program's limits are the wall, this is a courtesy. Runs
inside the sandbox, standard library only.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

_LEAST = 0.004
"""What each call has at least, after others took too long: a clock tick."""
_AGAIN = 0.05
"""Seconds until it is raised once more, in a candidate that swallowed it."""


class OutOfTimeError(BaseException):
    """The call took longer than it may; no `Exception`, which candidates catch."""


class CallTimer:
    """Calls functions within a limit of processor time.

    Each call that takes too long halves the time of the next ones, so that a program which hangs on everything does not
    take the limit as often as it is called.
    """

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._running = False

    def limit(self, seconds: float | None) -> None:
        """Set the time of each further call; None is without limit."""
        if seconds is not None and self._seconds is None:
            signal.signal(signal.SIGPROF, self._expire)
        self._seconds = seconds

    def call(self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call a function.

        Raises:
            OutOfTimeError: its time is up. Code in C ends first.
            BaseException: whatever the function raises.
        """
        if self._seconds is None:
            return function(*args, **kwargs)
        self._running = True
        signal.setitimer(signal.ITIMER_PROF, self._seconds, _AGAIN)
        try:
            return function(*args, **kwargs)
        except OutOfTimeError:
            self._seconds = max(_LEAST, self._seconds / 2)
            raise
        finally:
            self._running = False  # first: a signal that is under way must not raise outside of the call
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _expire(self, number: int, frame: FrameType | None) -> None:
        if self._running:
            raise OutOfTimeError(f"more than {self._seconds:g} s of processor time")
