"""Plain Python as a yardstick: a module and its tests, run by `exec` in a process of their own, inside bubblewrap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.yardstick import MEMORY_BYTES, START_SECONDS, run_group, walled

PASSED, TIMED_OUT = "passed", "timed out"
"""What is said of a program; anything else begins with `failed: `."""
_WHO = "Python"
_RUN = """
import json, os, resource, signal, sys, time
seconds, memory = float(sys.argv[1]), int(sys.argv[2])
programs = json.load(sys.stdin)
null = os.open(os.devnull, os.O_RDWR)

def run(source, tests, pipe):
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of CPU time; its signal ends the process
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    said = "passed"
    try:
        names = {"__name__": "solution"}
        exec(compile(source, "solution.py", "exec"), names)
        exec(compile(tests, "tests.py", "exec"), names)
    except BaseException as error:
        said = "failed: " + type(error).__name__ + ": " + str(error)[:200]
    os.write(pipe, said.encode("utf-8", "replace"))
    os._exit(0)

results = []
for source, tests in programs:
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        os.setpgid(0, 0)
        run(source, tests, writes)
    os.close(writes)
    end, status = time.monotonic() + 4 * seconds, None
    while status is None and time.monotonic() < end:
        done, ended = os.waitpid(child, os.WNOHANG)
        status = ended if done else time.sleep(0.001)
    said = ""
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said = "timed out"
    elif os.WIFSIGNALED(status):
        said = "timed out" if os.WTERMSIG(status) == signal.SIGPROF else "failed: signal %d" % os.WTERMSIG(status)
    results.append(said or os.read(reads, 1 << 16).decode() or "failed: exit in the middle")
    os.close(reads)
json.dump(results, sys.stdout)
"""
"""Arguments: seconds of CPU time, bytes of address space. Standard input: JSON, a list of pairs of source and tests.
Standard output: JSON, a list of results."""


class Asserted(NamedTuple):
    """A module and what is asserted of it."""

    source: str
    """The module; may be written by anybody."""
    tests: str
    """Statements that must not raise, run among the module's names."""


def run_plainly(programs: Sequence[Asserted], seconds: float) -> list[str]:
    """Run each program and its tests.

    Args:
        programs: one after the other.
        seconds: of CPU time, for each; four times as much by the clock.

    Returns:
        Per program `passed`, `timed out` or `failed: ...`.

    Raises:
        BenchmarkError: bubblewrap is missing, or it did not finish.
    """
    line = [*walled(_WHO, _RUN, ()), str(seconds), str(MEMORY_BYTES)]
    said = run_group(_WHO, line, json.dumps(programs), "/", START_SECONDS + len(programs) * 4 * seconds)
    try:
        results = TypeAdapter(list[str]).validate_json(said)
    except ValidationError:
        raise BenchmarkError("Python did not say what it found", "is anything killing its processes?") from None
    if len(results) != len(programs):
        raise BenchmarkError("Python gave not every result", "is anything killing its processes?")
    return results
