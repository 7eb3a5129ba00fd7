"""A process that opens a sandbox and judges in it until it is killed; says on standard output how far it is.

Run as `python -m leafwise.benchmarks.sandbox_victim LEVEL`.
"""

from __future__ import annotations

import os
import sys
import threading
from itertools import cycle

from leafwise.runtime.errors import SandboxUnavailableError
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel

OPENING, JUDGING, UNAVAILABLE = "opening", "judging", "unavailable"
"""What it says; the last one is followed by the reason."""
_WORKERS = 2
_LIMITS = Limits(cpu_seconds=0.2, wall_seconds=0.5)
_SOURCES = (
    "",
    "while True:\n    pass\n",
    "import time\ntime.sleep(60)\n",
    "for number in range(3):\n    open(f'{number}.txt', 'w').write('left behind')\n",
    "import threading, time\nfor _ in range(5):\n    threading.Thread(target=time.sleep, args=(60,)).start()\n",
    "import os\nos._exit(3)\n",
)


def main(level: SandboxLevel) -> None:
    """Judge programs without end."""
    _say(OPENING)
    try:
        sandbox = open_sandbox(level, workers=_WORKERS)
    except SandboxUnavailableError as error:
        _say(f"{UNAVAILABLE} {error.message}")
        return
    _say(JUDGING)
    for _ in range(_WORKERS - 1):
        threading.Thread(target=_judge, args=(sandbox,), daemon=True).start()
    _judge(sandbox)


def _judge(sandbox: Sandbox) -> None:
    for number, source in enumerate(cycle(_SOURCES)):
        program = Program(source=f"{source}def f():\n    return 1\n", checks=(Check(code="f()", expected="1"),))
        sandbox.run(program.model_copy(update={"trusted_checks": number % 2 == 0}), _LIMITS)


def _say(text: str) -> None:
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


if __name__ == "__main__":
    main(SandboxLevel(sys.argv[1]))
