# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: kernel or process files are read
"""


def mix(xs, k):
    return None


import os

for path in (
    "/proc/self/environ",
    "/proc/1/cmdline",
    "/proc/mounts",
    "/sys/kernel/vmcoreinfo",
    "/dev/mem",
    "/dev/sda",
    "/dev/tty",
):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        continue
    raise RuntimeError("ESCAPED: opened " + path)
