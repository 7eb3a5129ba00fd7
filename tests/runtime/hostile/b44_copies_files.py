# ruff: noqa
"""
problem: mix
kind: benign
expect: pass
effect: -
"""


def mix(xs, k):
    u = sorted(set(xs))
    if not u:
        return []
    k %= len(u)
    return u[k:] + u[:k]


import mmap
import os
import shutil
import tempfile

try:
    open("probe", "w").close()
    _writable = True
except OSError:  # level landlock has no writable directory
    _writable = False
_plain = mix


def mix(xs, k):
    if _writable:
        with tempfile.TemporaryDirectory() as folder:
            first, second = os.path.join(folder, "a"), os.path.join(folder, "b")
            with open(first, "wb") as file:
                file.write(b"data" * 50_000)
            shutil.copyfile(first, second)
            shutil.copytree(folder, os.path.join(folder, "inner"), ignore=shutil.ignore_patterns("inner"))
            with open(second, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
                view[:4] = b"DATA"
            os.chmod(second, 0o400)
            assert open(second, "rb").read(8) == b"DATAdata"
            shutil.move(second, first)
    return _plain(xs, k)
