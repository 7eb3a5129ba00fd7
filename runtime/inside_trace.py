"""The last lines that a candidate ran, with the values they changed: evidence for a repair.

Told by the candidate's own process, so never for a verdict. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import reprlib
import sys
import time
from collections import deque
from types import FrameType
from typing import Any

KEPT_LINES = 12
MAX_VALUES = 6
"""Changed names that are shown of one line."""
MAX_SHOWN = 80
"""Characters of a value's `repr`."""
_MAX_NAME = 40
_CLOCK_EVERY = 1000
"""Lines between two looks at the clock."""


class _Line:
    __slots__ = ("function", "number", "values")

    def __init__(self, number: int, function: str) -> None:
        self.number = number
        self.function = function
        self.values: dict[str, str] = {}


class Tracer:
    """Watches the frames of one file, by `sys.settrace`.

    Args:
        filename: whose lines are recorded.
        cpu_seconds: process time after which `TimeoutError` is raised in the candidate, so that an endless loop has a
            trace too.
    """

    def __init__(self, filename: str, cpu_seconds: float) -> None:
        self._filename = filename
        self._cpu_seconds = cpu_seconds
        self._lines: deque[_Line] = deque(maxlen=KEPT_LINES)
        self._last: dict[int, tuple[_Line, dict[str, str]]] = {}
        self._count = 0
        self._repr = reprlib.Repr()
        self._repr.maxstring = self._repr.maxother = MAX_SHOWN

    def start(self) -> None:
        """Begin to watch this thread."""
        sys.settrace(self._enter)

    def take(self) -> list[list[Any]]:
        """The last lines as [number, function, [[name, value], ...]], and forget them."""
        lines = [[line.number, line.function[:_MAX_NAME], _shown(line.values)] for line in self._lines]
        self._lines.clear()
        self._last.clear()
        return lines

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._step if frame.f_code.co_filename == self._filename else None

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        key = id(frame)
        values = {name: self._short(value) for name, value in frame.f_locals.items() if not name.startswith("__")}
        line, before = self._last.pop(key, (None, {}))
        if line is not None:
            line.values = {name: text for name, text in values.items() if before.get(name) != text}
            if event == "return":
                line.values["return"] = self._short(argument)
        if event == "line":
            line = _Line(frame.f_lineno, frame.f_code.co_name)
            self._lines.append(line)
            self._last[key] = line, values
            self._look_at_clock()
        return self._step

    def _short(self, value: object) -> str:
        try:
            return self._repr.repr(value)[:MAX_SHOWN]
        except Exception:  # a broken __repr__
            return f"<{type(value).__name__}>"

    def _look_at_clock(self) -> None:
        self._count += 1
        if self._count % _CLOCK_EVERY == 0 and time.process_time() > self._cpu_seconds:
            self._cpu_seconds = float("inf")
            raise TimeoutError(f"still running after {self._count} lines")


def _shown(values: dict[str, str]) -> list[list[str]]:
    return [[name[:_MAX_NAME], text] for name, text in list(values.items())[:MAX_VALUES]]
