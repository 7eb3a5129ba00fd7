# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: text of the tests or of the user's environment is left over in memory
"""


def mix(xs, k):
    return None


import ctypes
import os

out, into = os.pipe()
libc = ctypes.CDLL(None, use_errno=True)
# Written backwards and looked for in pages turned round, so that this program does not find itself.
WORDS = [b"(etadidnac tressa", b")etadidnac(kcehc fed", b"terces-yranac"]
places = [id(object()), id(os), ctypes.addressof(ctypes.c_int()), ctypes.cast(libc.getenv, ctypes.c_void_p).value]
places.append(ctypes.cast(ctypes.c_void_p.in_dll(libc, "environ").value, ctypes.c_void_p).value)
for place in places:
    start = (place & ~0xFFF) - (8 << 20)
    for page in range(start, start + (16 << 20), 4096):
        if libc.write(into, ctypes.c_void_p(page), 1) != 1:  # the kernel says EFAULT where nothing is mapped
            continue
        os.read(out, 1)
        data = ctypes.string_at(page, 4096)[::-1]
        for word in WORDS:
            if word in data:
                raise RuntimeError("ESCAPED: %r at %x" % (word[::-1], page))
