# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the next program finds something
"""


def mix(xs, k):
    return None


import os
import threading
import time

threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
for name in ("math.py", "solution.py", "sitecustomize.py"):
    with open(name, "w") as f:
        f.write("raise SystemExit(0)")
try:
    os.mkfifo("pipe")
except OSError:
    pass
os.symlink("/", "root")
for _ in range(50):
    os.mkdir("d")
    os.chdir("d")
