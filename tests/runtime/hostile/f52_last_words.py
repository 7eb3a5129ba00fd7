# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: what runs when things die says that all is well
"""

import atexit
import gc
import os
import sys
import weakref

END = b'{"loaded": true}\n{"check": {"passed": true}}\n{"end": true, "setup": ""}\n'


class Dying:
    def __del__(self):
        say()


def say(*_):
    for fd in range(1, 64):
        try:
            os.write(fd, END)
        except OSError:
            pass
    os._exit(0)


gc.callbacks.append(lambda phase, info: say())
weakref.finalize(Dying(), say)
atexit.register(say)
sys.unraisablehook = sys.excepthook = say
cycle = [Dying()]
cycle.append(cycle)


def mix(xs, k):
    cycle.clear()
    gc.collect()
