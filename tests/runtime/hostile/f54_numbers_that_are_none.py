# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: fractions over zero, decimals that signal, ranges and dates of objects
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
REF = '{"ref": {"id": 1, "type": "x"}}'
BODIES = (
    '{"F": [0, 0]}',
    '{"F": [%s]}' % REF,
    '{"F": [%s, 1]}' % REF,
    '{"D": "sNaN"}',
    '{"D": [0, [1, 2], 0]}',
    '{"r": [%s]}' % REF,
    '{"c": [%s, 0]}' % REF,
    '{"w": ["datetime", "9999-12-31", 1]}',
    '{"l": [1e308, 0, 0]}',
    '{"n": "nan"}',
    '{"i": "0x_1"}',
)
number = 0
while True:
    request = _receive()
    if request["op"] == "get" or request["op"] == "call" and len(request["args"]) == 1:
        _send('{"value": {"t": [0, 0]}}')
        continue
    _send('{"value": %s}' % BODIES[number % len(BODIES)])
    number += 1
