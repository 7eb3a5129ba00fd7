"""What one program's tests may leave behind in a tester that goes on to judge other programs' candidates.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import _thread
import builtins
import gc
import operator
import os
import resource
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

_MOST_GROWN_KB = 64 << 10
"""Memory that a program's checks may have taken at most, for the process to go on: what it leaves limits the next."""


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
        self._modules = [builtins, *(sys.modules[name] for name in modules if name in sys.modules)]
        self._content = self._contents()
        self._settings = _settings()
        self._peak = _peak_kb()

    def is_clean_again(self) -> bool:
        """Forget the last program, its values and its random numbers; whether all else is as it was before it."""
        for name in ("solution", "pytest"):  # made for the program, so without a spec, which pytest itself would have
            if getattr(sys.modules.get(name), "__spec__", None) is None:
                sys.modules.pop(name, None)
        gc.collect()  # a function of the setup and the names it was made among hold each other
        if (random := sys.modules.get("random")) is not None:
            random.seed()
        if _peak_kb() - self._peak > _MOST_GROWN_KB:
            return False
        return _settings() == self._settings and all(map(_is_same, self._contents(), self._content))

    def _contents(self) -> list[list[Any]]:
        modules = [[*vars(module), *vars(module).values()] for module in self._modules]
        return [*modules, sys.path[:], sys.meta_path[:], sys.path_hooks[:], [*warnings.filters]]


def _is_same(now: list[Any], before: list[Any]) -> bool:
    """Whether two lists hold the very same objects: `==` would ask them."""
    return len(now) == len(before) and all(map(operator.is_, now, before))


def _settings() -> list[object]:
    return [
        [id(hook) for hook in (sys.excepthook, sys.unraisablehook, sys.gettrace(), sys.getprofile())],
        [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGPROF)],
        [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        [sys.getrecursionlimit(), sys.get_int_max_str_digits(), _thread._count()],
        [os.getcwd(), dict(os.environ), _umask()],
    ]


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _umask() -> int:
    now = os.umask(0o077)  # there is no way to only ask
    os.umask(now)
    return now
