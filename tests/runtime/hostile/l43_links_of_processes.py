# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: what another process runs and has open, by the links in /proc
"""


def mix(xs, k):
    return None


import os

for pid in {os.getppid(), 1, *range(2, 3000, 7)} - {os.getpid()}:
    for name in ("exe", "cwd", "root", "fd/0", "fd/3", "ns/pid", "map_files"):
        path = "/proc/%d/%s" % (pid, name)
        for action in (os.readlink, os.listdir, lambda p: os.open(p, 0)):
            try:
                action(path)
            except OSError:
                continue
            raise RuntimeError("ESCAPED: " + path)
for path in (
    "/proc/self/environ",
    "/proc/self/maps",
    "/proc/self/mem",
    "/proc/self/root/etc/passwd",
    "/proc/self/fd/0/..",
):
    try:
        os.open(path, os.O_RDONLY)
    except OSError:
        continue
    raise RuntimeError("ESCAPED: opened " + path)
