# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: keys are typed into a terminal, or descriptors are sent away
"""


def mix(xs, k):
    return None


import array
import fcntl
import os
import socket

for fd in range(64):
    try:
        os.fstat(fd)
    except OSError:
        continue
    for request in (0x5412, 0x541C, 0x5402, 0x540E, 0x8901, 0x8902, 0x5452, 0x5460, 0xC0045877, 0x125D):
        try:
            fcntl.ioctl(fd, request, b"x" * 64)
        except OSError as error:
            if error.errno == 1:
                continue
        raise RuntimeError("ESCAPED: ioctl %x reached the kernel" % request)
    for command in (8, 10, 15, 1024, 1026, 1031, 1033, 1036, 1040):
        try:
            fcntl.fcntl(fd, command, 1 << 20)
        except OSError as error:
            if error.errno == 1:
                continue
        raise RuntimeError("ESCAPED: fcntl %d reached the kernel" % command)
a, b = socket.socketpair()
for action in (
    lambda: socket.send_fds(a, [b"x"], [0]),
    lambda: a.sendmsg([b"x"], [(1, 2, array.array("i", [os.getppid(), 0, 0]))]),
    lambda: a.setsockopt(1, 16, 1),
):
    try:
        action()
    except OSError:
        continue
    raise RuntimeError("ESCAPED: sent with a descriptor or with credentials")
