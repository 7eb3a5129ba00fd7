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
import zlib

out, into = os.pipe()
libc = ctypes.CDLL(None, use_errno=True)
# Beginning, length and checksum of each, so that this program does not find itself.
WORDS = [(b'asser', 17, 3663847199), (b'def c', 20, 3180050593), (b'canar', 13, 494760695)]
places = [id(object()), id(os), ctypes.addressof(ctypes.c_int()), ctypes.cast(libc.getenv, ctypes.c_void_p).value]
places.append(ctypes.cast(ctypes.c_void_p.in_dll(libc, "environ").value, ctypes.c_void_p).value)
for place in places:
    start = (place & ~0xFFF) - (8 << 20)
    for page in range(start, start + (16 << 20), 4096):
        if libc.write(into, ctypes.c_void_p(page), 1) != 1:  # the kernel says EFAULT where nothing is mapped
            continue
        os.read(out, 1)
        data = ctypes.string_at(page, 4096)
        for start_of_word, length, checksum in WORDS:
            at = data.find(start_of_word)
            while at >= 0:
                if zlib.crc32(data[at : at + length]) == checksum:
                    raise RuntimeError("ESCAPED: %r at %x" % (data[at : at + length], page))
                at = data.find(start_of_word, at + 1)
