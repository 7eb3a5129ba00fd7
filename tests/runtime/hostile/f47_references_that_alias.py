# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: one reference stands for everything, and every two things are equal
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

SELF = '{"ref": {"id": 0, "type": "list", "class": "list"}}'
_send(
    '{"module": %s, "names": {"mix": %s, "check": %s, "math": %s, "sorted": %s, "AssertionError": %s}}' % ((SELF,) * 6)
)
while True:
    op = _receive()["op"]
    _send(
        {
            "len": '{"value": 3}',
            "bool": '{"value": true}',
            "isinstance": '{"value": true}',
            "next": '{"value": 1}',
            "state": '{"value": {"t": ["list", 1]}}',
            "str": '{"value": "[1, 2, 3]"}',
        }.get(op, '{"value": %s}' % SELF)
    )
