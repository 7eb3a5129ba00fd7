# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: pages of a read-only file are put into a pipe (what Dirty Pipe needed)
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


import socket

library = os.open(os.__file__, os.O_RDONLY)
out, into = os.pipe()
a, b = socket.socketpair()
TRIES = {
    "sendfile to a pipe": lambda: os.sendfile(into, library, 0, 100),
    "sendfile to a socket": lambda: os.sendfile(a.fileno(), library, 0, 100),
    "splice": lambda: os.splice(library, into, 100),
    "copy_file_range": lambda: os.copy_file_range(library, into, 100),
    "vmsplice": lambda: _must(278, into, 0, 0, 0),
    "tee": lambda: _must(276, out, into, 0, 0),
}


def _must(number, *arguments):
    result, error = call(number, *arguments)
    if error == 1 or platform.machine() != "x86_64":
        raise OSError(error, "denied")


for name, action in TRIES.items():
    try:
        action()
    except (AttributeError, PermissionError):
        continue
    except OSError as error:
        raise RuntimeError("ESCAPED: %s reached the kernel: %s" % (name, error))
    raise RuntimeError("ESCAPED: " + name)
