"""Cases of the conformance suite: a forged pass, one try at each wall, and what may be written.

The programs at the walls say themselves whether they were stopped: they are ours, so their word is good.
`sandbox_conformance_steps` looks from the outside.
"""

from __future__ import annotations

from leafwise.runtime.sandbox_conformance_case import CONTAINED, NOT_PASSED, WRITABLE, Answer, Case, equal, tried
from leafwise.runtime.sandbox_contracts import Limits, SandboxLevel

_FORGED = Answer(status=NOT_PASSED)
_SAYS_PASS = """\
import os, sys
WORDS = b'\\n{"check": {"passed": true}}\\n{"end": true}\\nOK\\nall tests passed\\n'
def f():
    for fd in range(64):
        try:
            os.write(fd, WORDS)
        except OSError:
            pass
    print(WORDS.decode(), file=sys.stderr)
    return 0
"""
_LIAR = """\
class Liar(int):
    __class__ = property(lambda self: int)
    __hash__ = None
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def f(): return Liar()
"""
_PATCHES = """\
import builtins, sys
builtins.bool = lambda value=True: True
for module in list(sys.modules.values()):
    for name in ('eval', 'equal', 'eq'):
        if hasattr(module, name):
            setattr(module, name, lambda *args: 1)
def f(): return 0
"""
_TRY = """\
import os, socket, tempfile
def stopped():
    try:
        {}
    except OSError:
        return True
    return False
"""
_WRITES = """\
import tempfile
def writable(folders):
    found = []
    for folder in folders:
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        found.append(folder)
    return found
"""

_FORGERIES = tuple(
    Case(f"forges-a-pass-{how}", tried(source, equal("f()", "1")), _FORGED)
    for how, source in (
        ("by-exit", "import os\ndef f():\n    os._exit(0)\n"),
        ("by-system-exit", "def f():\n    raise SystemExit(0)\n"),
        ("by-printing", _SAYS_PASS),
        ("by-an-object-equal-to-all", _LIAR),
        ("by-patching-the-library", _PATCHES),
    )
)

_TRIES = tuple(
    Case(name, tried(_TRY.format(action), equal("stopped()", "True")), levels=CONTAINED)
    for name, action in (
        ("reads-etc-passwd", "open('/etc/passwd').close()"),
        ("lists-homes", "os.listdir('/home')"),
        ("opens-a-socket", "socket.socket().close()"),
        ("writes-outside", "tempfile.TemporaryFile(dir='/tmp').close()"),
        ("forks", "os.fork() or os._exit(0)"),
        ("runs-a-program", "os.execv('/bin/true', ['true'])"),
        ("signals-its-parent", "os.kill(os.getppid(), 0)"),
        ("signals-everyone", "os.kill(-1, 0)"),
    )
)

_FILES = (
    Case("a-scratch-directory", tried("open('f', 'w').write('x')\nassert open('f').read() == 'x'"), levels=WRITABLE),
    Case(
        "file-limit",
        tried("with open('f', 'wb') as f:\n    f.write(bytes(2 << 20))\n"),
        Answer(status=NOT_PASSED),
        Limits(file_mb=1),
        levels=WRITABLE,
    ),
    Case(
        "no-writable-directory",
        tried(_WRITES, equal("writable(['.', '/tmp', '/dev/shm', '/var/tmp'])", "[]")),
        levels=frozenset({SandboxLevel.LANDLOCK}),
    ),
)

CASES = _FORGERIES + _TRIES + _FILES
