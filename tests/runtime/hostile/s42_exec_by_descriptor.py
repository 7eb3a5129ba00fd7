# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: another program runs, from memory or by a descriptor
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


import glob
import sys

x86 = platform.machine() == "x86_64"
name = ctypes.create_string_buffer(b"code")
for number, flags in ((319 if x86 else 279, 0), (319 if x86 else 279, 1), (447, 0)):  # memfd_create, memfd_secret
    arguments = (flags, 0) if number == 447 else (ctypes.addressof(name), flags)
    result, error = call(number, *arguments)
    if result >= 0:
        raise RuntimeError("ESCAPED: a memory file by call %d" % number)
nothing = ctypes.create_string_buffer(b"")
vector = (ctypes.c_char_p * 2)(b"true", None)
for path in (sys.executable, *glob.glob("/usr/lib*/ld-*"), *glob.glob("/lib/*/ld-linux*")):
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    result, error = call(322 if x86 else 281, fd, ctypes.addressof(nothing), ctypes.addressof(vector), 0, 0x1000)
    if error != 1:
        raise RuntimeError("ESCAPED: execveat reached the kernel, errno %d" % error)
    try:
        os.execve(fd, ["true"], {})
    except OSError as failure:
        if failure.errno != 1:
            raise RuntimeError("ESCAPED: fexecve reached the kernel, %s" % failure)
