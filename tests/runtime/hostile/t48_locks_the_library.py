# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: a lock on a shared library file, on which others would wait
"""


def mix(xs, k):
    return None


import fcntl
import glob
import os

for path in [os.__file__, "/etc/ld.so.cache", "/dev/null", *glob.glob("/usr/lib/x86_64-linux-gnu/libc.so*")]:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        continue
    raise RuntimeError("ESCAPED: locked " + path)
