# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: the modules that answer, and json, socket and struct, are exchanged
"""


def mix(xs, k):
    return None


import sys
import types


class Always(types.ModuleType):
    def __getattr__(self, name):
        return lambda *a, **k: {"value": True, "passed": True, "loaded": True, "end": True}


import builtins
import json
import socket
import struct

for name in [name for name in sys.modules if name.startswith("leafwise")] + ["json", "socket", "struct", "select"]:
    sys.modules[name] = Always(name)
json.dumps = lambda *a, **k: '{"value": true, "end": true, "check": {"passed": true}}'
json.loads = lambda *a, **k: {"op": "call", "args": []}
json.JSONEncoder.encode = lambda *a: '{"value": true}'
socket.socket.sendall = lambda self, data: self.send(b'\x0e\0\0\0{"value":true}')
builtins.repr = builtins.isinstance = builtins.enumerate = lambda *a: True
