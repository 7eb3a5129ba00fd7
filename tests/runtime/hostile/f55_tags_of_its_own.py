# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: tags that do not exist, or that only the tester may use
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
BODIES = ("own", "cb", "builtin", "code", "T", "E", "w", "q", "u", "b", "__class__", "")
PAYLOADS = ("0", "-1", '"check"', '"type"', "[[1], -5]", "null", "1e9", '{"id": {}, "type": []}', "[[[]]]", '"zz"')
number = os.getpid()
while _receive():
    _send('{"value": {"%s": %s}}' % (BODIES[number % 12], PAYLOADS[number // 12 % 10]))
    number += 1
