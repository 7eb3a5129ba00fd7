# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: another process gets less: limits, processors, priority, name
"""


def mix(xs, k):
    return None


import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return result, ctypes.get_errno()


import resource

parent, pair = os.getppid(), (ctypes.c_long * 2)(0, 0)
TRIES = {
    "prlimit": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (8, 8)),
    "prlimit, reading": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
    "affinity": lambda: os.sched_setaffinity(parent, {0}),
    "own affinity": lambda: os.sched_setaffinity(0, {0}),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "priority of a group": lambda: os.setpriority(os.PRIO_USER, 0, 19),
    "nice": lambda: os.nice(-5),
    "scheduler": lambda: os.sched_setscheduler(parent, os.SCHED_BATCH, os.sched_param(0)),
    "group": lambda: os.setpgid(0, 0),
    "session": lambda: os.setsid(),
}
for name, action in TRIES.items():
    try:
        action()
    except OSError:
        continue
    raise RuntimeError("ESCAPED: " + name)
