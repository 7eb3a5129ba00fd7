# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a descriptor for the zygote's process, by the peer of an inherited socket
"""


def mix(xs, k):
    return None


import os
import socket
import stat

for fd in range(3, 64):
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            continue
    except OSError:
        continue
    peer = socket.socket(fileno=os.dup(fd))
    for option in (77, 17, 31):  # SO_PEERPIDFD, SO_PEERCRED, SO_PEERSEC
        try:
            answer = peer.getsockopt(socket.SOL_SOCKET, option, 12) if option != 77 else peer.getsockopt(1, 77)
        except OSError:
            continue
        raise RuntimeError("ESCAPED: option %d of the link gave %r" % (option, answer))
