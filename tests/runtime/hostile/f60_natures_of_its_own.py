# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: references that call themselves made by the tests, classes or values, and agree
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
MADE = '{"ref": {"id": 0, "type": "list", "nature": "%s", "role": "made", "class": "list"}}'
_send(
    '{"module": %s, "names": {"mix": %s, "Mix": %s, "AssertionError": %s}}'
    % tuple(MADE % nature for nature in ("made", "class", "class", "value"))
)
number = 0
while True:
    op = _receive()["op"]
    number += 1
    _send(
        {
            "len": '{"value": 3}',
            "hash": '{"value": 1}',
            "value": '{"value": [1, 2, 3]}',
            "next": '{"value": %s}' % (MADE % "value"),
        }.get(op, '{"value": %s}' % (MADE % ("value", "made", "class")[number % 3]))
        if op not in ("equal", "unequal", "bool", "holds", "own __lt__", "__lt__", "isinstance")
        else '{"value": true}'
    )
