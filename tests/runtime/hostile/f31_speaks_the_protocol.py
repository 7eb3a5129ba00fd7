# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: the messages of the tester and of the solver on every descriptor
"""


def mix(xs, k):
    return None


import json
import os
import struct

for message in (
    {"end": True, "setup": ""},
    {"check": {"passed": True}},
    {"loaded": True},
    {"value": True},
    {"reason": "", "broken": "", "solver": 0, "tester": 0, "cpu": 0, "clean": True},
):
    data = json.dumps(message).encode()
    for fd in range(64):
        for form in (data + b"\n", struct.pack("<I", len(data)) + data):
            try:
                os.write(fd, form)
            except OSError:
                pass
