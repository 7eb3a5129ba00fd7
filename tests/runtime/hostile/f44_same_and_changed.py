# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: answers that point at other arguments and change what may not change
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
BODIES = (
    '{"same": 1}',
    '{"same": -1, "changed": [[-1, [1, 2, 3]]]}',
    '{"same": "self"}',
    '{"changed": [["__class__", 1]]}',
    '{"same": 2, "changed": [[2, 0]]}',
    '{"changed": [[0, {"ref": {"id": 0, "type": "x"}}]], "same": 0}',
    '{"same": true, "changed": [[true, []]]}',
    '{"same": null}',
    '{"changed": {"0": []}, "value": []}',
    '{"changed": [[1, [%s]]], "same": 1}' % ",".join(["[]"] * 9),
)
number = os.getpid()
while _receive():
    _send(BODIES[number % len(BODIES)])
    number += 1
