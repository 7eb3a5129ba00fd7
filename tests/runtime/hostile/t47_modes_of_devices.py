# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the modes and times of the machine's own /dev/null and /dev/zero are changed
"""


def mix(xs, k):
    return None


import os
import stat

for path in ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"):
    mode = stat.S_IMODE(os.stat(path).st_mode)  # the mode it has: the machine must not suffer when this works
    for action in (
        lambda: os.chmod(path, mode),
        lambda: os.fchmod(os.open(path, os.O_RDONLY), mode),
        lambda: os.utime(path),
        lambda: os.chown(path, -1, os.getgid()),
        lambda: os.rename(path, path + "x"),
        lambda: os.unlink(path + "x"),
    ):
        try:
            action()
        except OSError:
            continue
        raise RuntimeError("ESCAPED: changed " + path)
