# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: a queue of answers is sent before anything is asked
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
for text in ("[1,2,3]", "[2,3,1]", "[4,5]", "[7]", "[8,9]", "true", "null", "{}", '"end"'):
    _send('{"value": %s, "passed": true, "same": 0}' % text)
    _send('{"end": true, "check": {"passed": true}}')
