# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: out-of-band data on a local socket: a part of the kernel with a record of holes
"""


def mix(xs, k):
    return None


import socket

a, b = socket.socketpair()
for flags in (socket.MSG_OOB, socket.MSG_OOB | socket.MSG_DONTWAIT, socket.MSG_OOB | 0x4000):
    try:
        a.send(b"x", flags)
    except OSError:
        continue
    raise RuntimeError("ESCAPED: sent out of band")
a.send(b"y")
try:
    b.recv(1, socket.MSG_OOB)
except OSError as error:
    if error.errno != 1:
        raise RuntimeError("ESCAPED: asked the kernel for out-of-band data: %s" % error)
