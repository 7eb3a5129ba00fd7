# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the process of the checks burns its time on a dict with equal hashes
"""

PRIME = (1 << 61) - 1


def mix(xs, k):
    return {n * PRIME: None for n in range(1, 3000)} if k == 5 else _raw()


def _raw():
    import os
    import stat
    import struct

    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                break
        except OSError:
            pass
    pairs = ",".join("[%d,0]" % (n * PRIME) for n in range(1, 400_000))
    text = ('{"value":{"d":[%s]}}' % pairs).encode()
    view = memoryview(struct.pack("<I", len(text)) + text)
    while view:
        view = view[os.write(fd, view) :]
