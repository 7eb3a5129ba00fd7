# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the process of the checks, or the harness, needs a hundred times what was sent
"""


def mix(xs, k):
    return None


import json
import os
import stat
import struct


def _link():
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                return fd
        except OSError:
            pass


def _send(text):
    os.write(LINK, struct.pack("<I", len(text)) + text.encode())


def _receive():
    data = os.read(LINK, 4)
    if len(data) < 4:
        os._exit(0)
    return json.loads(os.read(LINK, struct.unpack("<I", data)[0]))


LINK = _link()
NAMES = '{"module": {"ref": {"id": 0, "type": "module"}}, "names": {"mix": {"ref": {"id": 1, "type": "f"}}}}'

_send(NAMES)
while _receive():
    body = '{"value":[' + ",".join(["[]"] * 5_000_000) + "]}"
    view = memoryview(struct.pack("<I", len(body)) + body.encode())
    while view:
        view = view[os.write(LINK, view) :]
