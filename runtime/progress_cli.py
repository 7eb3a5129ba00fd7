"""How far long work is, on standard error: bars on a terminal; in a pipe, a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

Tell = Callable[[str, int, int], None]
"""Takes a stage's name, how much of it is done, and how much there is."""
Advance = Callable[[int, int], None]
"""Takes how much is done, and how much there is."""
_FIRST_LINE = 15.0
_BETWEEN_LINES = 60.0


@contextmanager
def stages() -> Iterator[Tell]:
    """A bar for each stage, gone in the end; in a pipe nothing for the first quarter of a minute, then lines."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    errors = Console(stderr=True)
    if not errors.is_terminal:
        yield Lines(sys.stderr).tell
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=errors, transient=True) as progress:

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total, completed=done)
            progress.update(bars[what], completed=done, total=total)

        yield tell


@contextmanager
def stage(what: str) -> Iterator[Advance]:
    """A bar for one stage.

    Args:
        what: the work, in a word or two.
    """
    with stages() as tell:
        yield lambda done, total: tell(what, done, total)


@contextmanager
def counter(what: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
    """A bar for work in equal steps: the call says that one more is done. It may come from any thread.

    Args:
        what: the work, in a word or two.
        total: steps that there are.
        done: steps that were done before.
    """
    with stage(what) as tell:
        count, lock = done, threading.Lock()

        def advance() -> None:
            nonlocal count
            with lock:
                count += 1
                tell(count, total)

        tell(done, total)
        yield advance


@dataclass
class _Stage:
    began: float
    at_first: int
    next_line: float


@dataclass
class Lines:
    """Tells of progress by lines: the first one of a stage when it has taken a while, then one a minute.

    Args:
        stream: where to.
        clock: seconds; only differences count.
    """

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _stages: dict[str, _Stage] = field(default_factory=dict, init=False)

    def tell(self, what: str, done: int, total: int) -> None:
        """See `Tell`."""
        now = self.clock()
        found = self._stages.setdefault(what, _Stage(now, done, now + _FIRST_LINE))
        if now < found.next_line or done >= total:
            return
        found.next_line = now + _BETWEEN_LINES
        since = done - found.at_first
        left = f", about {_duration((now - found.began) / since * (total - done))} left" if since > 0 else ""
        print(f"{what}: {done:,} of {total:,}{left}", file=self.stream, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
