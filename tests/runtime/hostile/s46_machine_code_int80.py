# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a 32-bit system call from machine code made at run time
"""


def mix(xs, k):
    return None


import ctypes
import mmap
import platform

if platform.machine() == "x86_64":
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes.fromhex("53b814000000cd805bc3"))  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    result = run()
    if result > 0:
        raise RuntimeError("ESCAPED: getpid by int 0x80 gave %d" % result)
