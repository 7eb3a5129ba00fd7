"""What one program's tests may leave behind in a tester that goes on to judge other programs' candidates.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import _thread
import builtins
import os
import random
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any


class _Nothing:
    """The finder of a folder that has no modules."""

    def find_spec(self, name: str, target: Any = None) -> None:
        return None


def hide_modules_of(folder: str) -> None:
    """Never import from a folder: checks that have it on `sys.path` would run what a candidate wrote there."""
    place = os.path.realpath(folder)

    def hook(path: str) -> _Nothing:
        if os.path.commonpath([place, os.path.realpath(path)]) != place:
            raise ImportError(path)
        return _Nothing()

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


class TesterState:
    """The state of this process that outlives a program.

    Args:
        modules: names of modules whose content must stay what it is.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = [builtins, *(sys.modules[name] for name in modules)]
        self._before = self._state()

    def is_clean(self) -> bool:
        """Whether all is as it was, but for what `reset` can bring back."""
        return self._state() == self._before

    def reset(self) -> None:
        """Bring back what tests usually change: the state of `random`, and the name of the last program."""
        random.seed()
        sys.modules.pop("solution", None)

    def _state(self) -> list[object]:
        return [
            [(name, id(value)) for module in self._modules for name, value in vars(module).items()],
            [
                id(hook)
                for hook in (sys.excepthook, sys.displayhook, sys.unraisablehook, sys.gettrace(), sys.getprofile())
            ],
            [[id(item) for item in several] for several in (sys.path, sys.meta_path, sys.path_hooks, warnings.filters)],
            [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGPROF)],
            [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
            [sys.getrecursionlimit(), sys.get_int_max_str_digits(), _thread._count()],
            [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
            [os.getcwd(), sorted(os.environ.items()), _umask()],  # noqa: PTH109 - as text
        ]


def _umask() -> int:
    now = os.umask(0o077)  # there is no way to only ask
    os.umask(now)
    return now
