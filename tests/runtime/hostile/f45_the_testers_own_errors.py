# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: exceptions with the names by which the tester talks to itself
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

NAMES_OF = (
    ("leafwise.runtime.inside_remote", "SolverLost"),
    ("leafwise.runtime.inside_remote", "LoadError"),
    ("leafwise.runtime.inside_wire", "LinkBrokenError"),
    ("leafwise.runtime.inside_codec", "MalformedError"),
    ("builtins", "SystemExit"),
    ("builtins", "GeneratorExit"),
    ("builtins", "KeyboardInterrupt"),
)
_send(NAMES)
number = 0
while _receive():
    chain = [list(NAMES_OF[number % len(NAMES_OF)]), ["builtins", "BaseException"]]
    _send(json.dumps({"error": {"chain": chain, "text": "", "args": [0], "line": True}}))
    number += 1
