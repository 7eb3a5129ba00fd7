"""Watching a long native build: its output goes into a log, and how far it is onto the terminal.

Standard library only: it runs before anything else is installed.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# ninja writes `[12/345] ...`, make writes `[ 12%] ...`.
_NINJA = re.compile(r"^\s*\[(\d+)/(\d+)\]")
_MAKE = re.compile(r"^\s*\[\s*(\d{1,3})%\]")
_PHASES = (
    ("Collecting llama", "finding the source"),
    ("Downloading llama", "downloading the source (about 75 MB)"),
    ("Installing build dependencies", "getting the build tools"),
    ("Preparing metadata", "unpacking"),
    ("Building wheel", "configuring"),
)
_PLAIN_INTERVAL = 20.0  # seconds between lines where they can not be rewritten


def percent(line: str) -> int | None:
    """How much is compiled, 0-100, if this line of the build's output says so."""
    if found := _NINJA.match(line):
        done, total = int(found[1]), int(found[2])
        return min(100, 100 * done // total) if total else None
    if found := _MAKE.match(line):
        return min(100, int(found[1]))
    return None


class Progress:
    """One line that says how far the build is: rewritten on a terminal, printed now and then elsewhere.

    Args:
        stream: where to write.
        title: what is being done.
    """

    def __init__(self, stream: TextIO, title: str) -> None:
        self._stream = stream
        self._title = title
        self._tty = stream.isatty()
        self._started = time.monotonic()
        self._printed = float("-inf")
        self._phase = "starting"
        self._compiling = False

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start."""
        return time.monotonic() - self._started

    def feed(self, line: str) -> None:
        """Takes one line of the build's output."""
        done = percent(line)
        if done is not None:
            self._compiling = True
            self._phase = f"{done:3d} %"
        for beginning, phase in _PHASES:
            # pip repeats some of these lines when it is done with a step.
            if not self._compiling and line.strip().startswith(beginning):
                self._phase = phase

    def finish(self, outcome: str) -> None:
        """Writes the last line."""
        self._phase = outcome
        self.show(last=True)

    def show(self, *, last: bool = False) -> None:
        """Writes the line, if it is time to."""
        text = f"{self._title}: {self._phase}, {clock(self.seconds)}"
        if self._tty:
            self._stream.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
        elif last or self.seconds - self._printed >= _PLAIN_INTERVAL:
            self._printed = self.seconds
            self._stream.write(text + "\n")
        self._stream.flush()


def clock(seconds: float) -> str:
    """`4 min 05 s`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def run_logged(command: Sequence[str], environment: Mapping[str, str], log: Path, progress: Progress) -> int:
    """Runs a command with its whole output in a log; gives its exit status.

    The command gets a process group of its own, which is ended when this is interrupted: a compiler must not go on
    in the background.
    """
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_pump, args=(process, lines), daemon=True)
    reader.start()
    outcome = "interrupted"
    try:
        with log.open("w", encoding="utf-8") as file:
            for line in _take(lines):
                file.write(line)
                progress.feed(line)
                progress.show()
        outcome = "done" if process.wait() == 0 else "failed"
    finally:
        _end_group(process)
        reader.join(timeout=5)
        progress.finish(outcome)
    return process.returncode


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log, for a failure's message."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except OSError:
        return []


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.put(line)
    lines.put(None)


def _take(lines: queue.Queue[str | None]) -> Iterator[str]:
    """Lines as they come; an empty string once a second, so that the clock goes on."""
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            line = ""
        if line is None:
            return
        yield line


def _end_group(process: subprocess.Popen[str]) -> None:
    """Ends what is left of the process and its children."""
    # SIGINT first: on it pip removes its temporary folders, with hundreds of megabytes of sources.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            continue
