"""Programs that are wrong for certain: the self-check shows them to the judge, which must not call one right."""

from __future__ import annotations

BODIES = {
    "returns None": "    return None",
    "raises": "    raise RuntimeError('wrong on purpose')",
    "wrong constant": "    return 'leafwise: wrong on purpose'",
    "pass": "    pass",
    "equal to everything": "    return _Equal()",
}
"""Bodies of the function that is asked for, by what they do."""

SPECIAL = {
    "sys.exit at import": "import sys\nsys.exit(0)\n",
    "os._exit at import": "import os\nos._exit(0)\n",
    "sys.exit in the call": "import sys\ndef NAME(*args, **named):\n    sys.exit(0)\n",
    "os._exit in the call": "import os\ndef NAME(*args, **named):\n    os._exit(0)\n",
    "SystemExit in the call": "def NAME(*args, **named):\n    raise SystemExit(0)\n",
    "infinite loop": "def NAME(*args, **named):\n    while True:\n        pass\n",
    "prints passed": "def NAME(*args, **named):\n    print('passed', flush=True)\nprint('passed', flush=True)\n",
    "patched builtins": """
import builtins, math
def _yes(*args, **named):
    return True
for _name in ("abs", "all", "any", "len", "isinstance", "sorted", "set", "sum"):
    setattr(builtins, _name, _yes)
math.isclose = _yes
builtins.AssertionError = type("AssertionError", (Exception,), {})
def NAME(*args, **named):
    return _yes
""",
    "patched caller": """
import gc, sys
def _clear(frame):
    while frame is not None:
        for place in (frame.f_globals, frame.f_locals):
            for name in ("check", "candidate"):
                if name in place:
                    place[name] = lambda *args, **named: None
        frame.f_trace = None
        frame = frame.f_back
    for found in gc.get_objects():
        if type(found).__name__ == "function" and found.__name__ in ("check", "_check"):
            found.__code__ = (lambda *args, **named: None).__code__
def NAME(*args, **named):
    _clear(sys._getframe())
    return None
""",
}
"""Modules that try to be called right without being it; `NAME` stands for the function that is asked for."""

_EQUAL = """
class _Equal:
    __hash__ = object.__hash__
    def _yes(self, *args):
        return True
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _yes
    def __ne__(self, other):
        return False
    def __sub__(self, other):
        return 0
    __rsub__ = __sub__
"""


def bad_module(kind: str, entry_point: str, reference: str = "") -> str:
    """A wrong program.

    Args:
        kind: a key of `BODIES` or of `SPECIAL`.
        entry_point: the function that is asked for.
        reference: what comes before it: tests may need more of an answer, such as a class whose objects are passed.
    """
    code = SPECIAL.get(kind, f"{_EQUAL}\ndef NAME(*args, **named):\n{BODIES.get(kind)}\n")
    return f"{reference}\n{code.replace('NAME', entry_point)}"
