# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: a file of the user is read while a name in the scratch changes places
"""


def mix(xs, k):
    return None


import os
import threading
import time

end = time.time() + 0.5


def flip():
    while time.time() < end:
        for target in ("/etc/passwd", "/proc/self/environ", "/etc/hostname", "../etc/passwd", "/dev/../etc/passwd"):
            try:
                os.symlink(target, "new")
                os.rename("new", "link")
            except OSError:
                return


try:
    open("plain", "w").close()
except OSError:
    pass
threading.Thread(target=flip, daemon=True).start()
while time.time() < end:
    for path in ("link", "./link", "plain/../link"):
        try:
            data = os.read(os.open(path, os.O_RDONLY), 100)
        except OSError:
            continue
        raise RuntimeError("ESCAPED: %r" % data)
