"""Cases of the conformance suite: how programs load and end, and what limits cut off.

Programs that are to hit a limit end by themselves in the end, so that a sandbox without limits fails its cases instead
of hanging.
"""

from __future__ import annotations

from leafwise.runtime.sandbox_conformance_case import NOT_PASSED, Answer, Case, equal, tried
from leafwise.runtime.sandbox_contracts import Check, Limits, Status

SPIN = """\
import time
def spin(seconds=20):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
"""
SLEEP = "import time\ntime.sleep(30)\n"

_LOAD_ERROR, _CRASHED = Answer(status=Status.LOAD_ERROR), Answer(status=Status.CRASHED)
_BRIEF = (Check(code="spin()", cpu_seconds=0.1),)
_SHORT_CPU = Limits(cpu_seconds=0.3)
_CPU_REACHED = Answer(status=Status.TIMEOUT, detail=r"CPU limit of 0\.3 s reached", cpu_seconds=0.3)
_OUTPUT = """\
import sys
print('hello')
def f():
    print('in f', end='')
    sys.stderr.write('!\\n')
"""
_OUT_OF_TIME = "TimeoutError: more than 0.1 s of processor time"
THREADS = """\
import threading, time
for _ in range(500):
    threading.Thread(target=time.sleep, args=(1,)).start()
"""
_EXITS = "import os\ndef f():\n    os._exit({})\n"

_LOADING = (
    Case("an-empty-source", tried("")),
    Case("a-long-source", tried("#" * 3_000_000)),
    Case(
        "large-constants",
        tried("BIG = 'x' * 3_000_000\nB = [BIG] * 20\ndef f(): return 1\n", equal("f()", "1")),
    ),
    Case("a-source-that-is-no-unicode", tried("x = '\ud800'\n"), _LOAD_ERROR),
    Case("annotations-are-evaluated", tried("def f(x: Missing): return x\n"), _LOAD_ERROR),
    Case(
        "annotations-are-not-evaluated-if-asked",
        tried("from __future__ import annotations\ndef f(x: Missing): return x\n", equal("f(1)", "1")),
    ),
    Case("a-source-with-a-null", tried("x = 1\0\n"), _LOAD_ERROR),
    *(
        Case(name, tried(source, "1"), Answer(status=Status.LOAD_ERROR, detail=detail, passed=()))
        for name, source, detail in (
            ("load-syntax-error", "def f(:\n", r"SyntaxError: invalid syntax \(solution\.py, line 1\)"),
            ("load-raises", "x = 1\n\nimport no_such\n", r"ModuleNotFoundError: No module named 'no_such' \(line 3\)"),
            ("load-exits", "import sys\nsys.exit(0)\n", r"SystemExit: 0 \(line 2\)"),
            ("load-calls-exit", "exit()\n", r"SystemExit \(line 1\)"),
        )
    ),
)

_CRASHING = (
    Case("exit-while-loading", tried("import os\nos._exit(0)\n"), _CRASHED),
    Case(
        "exit-in-a-check",
        tried(_EXITS.format(3), "1", "f()", "2"),
        Answer(status=Status.CRASHED, passed=(True,), detail="the program ended during check 2: exit status 3"),
    ),
    Case(
        "exit-that-a-check-swallows",
        tried(_EXITS.format(0), "try:\n    f()\nexcept BaseException:\n    pass"),
        _CRASHED,
    ),
    Case(
        "native-crash",
        tried("import ctypes\ndef f():\n    ctypes.string_at(0)\n", "f()"),
        Answer(status=Status.CRASHED, detail=".*SIGSEGV.*"),
    ),
    Case(
        "a-check-ends-its-process",
        tried("", "import os; os._exit(0)"),
        Answer(status=Status.CRASHED, detail=".*checks.*"),
    ),
    Case(
        "a-check-raises-system-exit",
        tried("", "raise SystemExit(0)"),
        Answer(status=Status.FAILED, passed=(False,), errors=("SystemExit: 0",)),
    ),
)

_LIMITED = (
    Case("cpu-limit", tried(SPIN + "spin()"), _CPU_REACHED, _SHORT_CPU),
    Case("cpu-limit-in-a-check", tried("", "1", SPIN + "spin()"), Answer(status=Status.TIMEOUT), _SHORT_CPU),
    Case(
        "cpu-limit-keeps-earlier-checks",
        tried(SPIN, "spin(0)", "spin()", "spin(0)"),
        _CPU_REACHED.model_copy(update={"passed": (True,)}),
        _SHORT_CPU,
    ),
    Case(
        "a-call-that-takes-longer-than-its-check-may",
        tried(SPIN, Check(code="spin()", cpu_seconds=0.1), Check(code="spin(0)", cpu_seconds=0.1), "spin(0.3)"),
        Answer(status=Status.FAILED, passed=(False, True, True), errors=(_OUT_OF_TIME, None, None)),
    ),
    Case(
        "a-call-that-takes-no-notice-of-its-time",
        tried("import signal\n" + SPIN + "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])\n", *_BRIEF),
        _CPU_REACHED,
        _SHORT_CPU,
    ),
    Case(
        "wall-limit",
        tried(SLEEP),
        Answer(status=Status.TIMEOUT, detail=r"wall-clock limit of 0\.4 s reached", seconds=0.4),
        Limits(wall_seconds=0.4),
    ),
    Case(
        "wall-limit-of-a-stopped-program",
        tried("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
        Answer(status=Status.TIMEOUT),
        Limits(wall_seconds=0.4),
    ),
    Case(
        "memory-limit",
        tried("x = bytearray(300 << 20)"),
        Answer(status=(Status.LOAD_ERROR, Status.CRASHED)),
        Limits(memory_mb=256),
    ),
    Case("thread-limit", tried(THREADS), Answer(status=NOT_PASSED), Limits(processes=8, wall_seconds=10)),
    Case("memory-within-the-limit", tried("x = bytearray(100 << 20)"), limits=Limits(memory_mb=256)),
    Case("times-are-measured", tried(SPIN + "spin(0.1)\ntime.sleep(0.1)"), Answer(seconds=0.2, cpu_seconds=0.1)),
    Case(
        "output",
        tried(_OUTPUT, "f()"),
        Answer(output=("hello\n", "in f", "!"), output_cut=False),
    ),
    Case(
        "output-of-a-program-that-is-killed",
        tried("print('before')\n" + SPIN + "spin()"),
        Answer(status=Status.TIMEOUT, output=("before\n",)),
        _SHORT_CPU,
    ),
    Case(
        "output-is-cut",
        tried("print('é' * 100)\nprint('b')"),
        Answer(output=("é" * 50,), output_cut=True),
        Limits(output_chars=50),
    ),
)

CASES = _LOADING + _CRASHING + _LIMITED
