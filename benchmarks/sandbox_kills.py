"""A parent process is killed at a random moment while it opens a sandbox and judges in it: nothing may survive it."""

from __future__ import annotations

import contextlib
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import psutil

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.benchmarks.sandbox_bench import SandboxBench
from leafwise.benchmarks.sandbox_footprint import descendants
from leafwise.benchmarks.sandbox_orphans import adopting_orphans, await_end, described
from leafwise.benchmarks.sandbox_victim import JUDGING, OPENING, UNAVAILABLE
from leafwise.runtime.sandbox_contracts import SandboxLevel

_LEVELS = (SandboxLevel.FULL, SandboxLevel.LANDLOCK, SandboxLevel.NONE)
_LONGEST_LIFE = 0.6  # seconds; opening takes 0.1 to 0.3
_START_SECONDS = 60.0
_END_SECONDS = 10.0
_MOST_NAMED = 5


class Kill(NamedTuple):
    """One kill, and what was left."""

    level: SandboxLevel
    """Of the sandbox."""
    opened: bool
    """Whether the sandbox was open; else it was being opened."""
    family: int
    """Descendants that the process had."""
    seconds: float
    """Until the last of them had ended, or the wait for that."""
    survivors: tuple[str, ...]
    """Those that had not."""
    files: tuple[str, ...]
    """What lay in its temporary folder then."""


def measure_kills(bench: SandboxBench, out: Recorder, tell: Tell) -> None:
    """All levels in turn."""
    kills: list[Kill] = []
    dice = random.Random(bench.seed)
    with adopting_orphans():
        try:
            for number, level in zip(range(bench.kills), cycle(_LEVELS), strict=False):
                tell(f"kill {number + 1} of {bench.kills}, level {level}")
                if (kill := _kill(level, dice.uniform(0.0, _LONGEST_LIFE), out)) is not None:
                    kills.append(kill)
        finally:
            _report(kills, out)


def _kill(level: SandboxLevel, life: float, out: Recorder) -> Kill | None:
    """Start a process, let it live so long after its first word, and kill it; None where the level is not available."""
    before = descendants()
    with (
        tempfile.TemporaryDirectory(prefix="leafwise-kills-", ignore_cleanup_errors=True) as folder,
        _start_victim(level, folder) as victim,
    ):
        try:
            if not _said(victim, _START_SECONDS).startswith(OPENING):
                raise BenchmarkError("the process to be killed did not start", "please report this")
            time.sleep(life)
            family = len(descendants() - before) - 1
        finally:
            victim.kill()
            victim.wait()
            seconds, survivors = _await_end(before)
        word = _said(victim, 0.0)
        if word.startswith(UNAVAILABLE):
            out.note(f"level {level} is not available: {word.removeprefix(UNAVAILABLE).strip()}")
            return None
        files = tuple(sorted(path.name for path in Path(folder).iterdir()))
        return Kill(level, word.startswith(JUDGING), family, seconds, survivors, files)


def _start_victim(level: SandboxLevel, folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["env", f"TMPDIR={folder}", sys.executable, "-P", "-m", "leafwise.benchmarks.sandbox_victim", level],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _said(victim: subprocess.Popen[bytes], seconds: float) -> str:
    """The next thing that a process says within so many seconds; empty if it does not."""
    assert victim.stdout is not None
    if not select.select([victim.stdout], [], [], seconds)[0]:
        return ""
    return os.read(victim.stdout.fileno(), 1000).decode(errors="replace")


def _await_end(before: set[psutil.Process]) -> tuple[float, tuple[str, ...]]:
    """Seconds until whatever was started has ended, and what has not; that is killed then."""
    killed = time.monotonic()
    survivors = await_end(before, _END_SECONDS)
    seconds, named = time.monotonic() - killed, tuple(map(described, survivors))
    for process in survivors:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if survivors:
        await_end(before, _END_SECONDS)
    return seconds, named


def _report(kills: list[Kill], out: Recorder) -> None:
    columns = ("level", "kills", "while opening", "processes each", "slowest end, s", "survivors", "left files")
    out.table("", columns, [_row(level, found) for level in _LEVELS if (found := _of(level, kills))])
    out.figure("kills", len(kills))
    for level in _LEVELS:
        if found := _of(level, kills):
            survivors = [line for kill in found for line in kill.survivors]
            files = [name for kill in found for name in kill.files]
            out.figure(f"{level}: processes that survive", len(survivors), at_most=0)
            out.figure(f"{level}: temporary files that stay", len(files), at_most=0)
            for line in [*survivors[:_MOST_NAMED], *files[:_MOST_NAMED]]:
                out.note(f"{level}: left {line}")


def _of(level: SandboxLevel, kills: list[Kill]) -> list[Kill]:
    return [kill for kill in kills if kill.level is level]


def _row(level: SandboxLevel, kills: list[Kill]) -> tuple[str | float, ...]:
    return (
        *(str(level), float(len(kills)), float(sum(not kill.opened for kill in kills))),
        *(sum(kill.family for kill in kills) / len(kills), max(kill.seconds for kill in kills)),
        *(float(sum(len(kill.survivors) for kill in kills)), float(sum(len(kill.files) for kill in kills))),
    )
