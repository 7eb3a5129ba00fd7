# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: messages with twofold keys, NaN, Infinity and numbers of 4,000 digits
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
    '{"value": 0, "value": NaN}',
    '{"value": [Infinity, -Infinity], "error": null}',
    '{"value": %s}' % ("9" * 4000),
    '{"value": {"t": [], "t": [NaN]}}',
    '{"value": 1e999, "changed": [[0, NaN]]}',
    "NaN",
    "[[]]",
    '{"value": -0}',
)
number = 0
while _receive():
    _send(BODIES[number % len(BODIES)])
    number += 1
