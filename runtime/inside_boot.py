"""The first code inside the sandbox, given to Python with -c; never imported.

Takes the zygote's modules from the control socket (standard input), so that nothing has to be read from a directory
that is masked in there.
"""

import importlib.machinery
import marshal
import os
import socket
import sys
from types import ModuleType
from typing import Any


class _Shipped:
    """Finder and loader of modules that came as code. No base class: `importlib.abc` would be in every child."""

    def __init__(self, codes: dict[str, Any]) -> None:
        self.codes = codes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self.codes:
            return None
        package = any(other.startswith(name + ".") for other in self.codes)
        return importlib.machinery.ModuleSpec(name, self, is_package=package)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.codes.pop(module.__name__), module.__dict__)


control = socket.socket(fileno=os.dup(0))
os.dup2(os.open("/dev/null", os.O_RDWR), 0)
shipped, *rules = socket.recv_fds(control, 1 << 16, 2)[1]
codes, config = marshal.loads(os.pread(shipped, os.fstat(shipped).st_size, 0))
os.close(shipped)
sys.meta_path.insert(0, _Shipped(codes))
from leafwise.runtime.inside_zygote import serve  # noqa: E402

serve(control, config, rules[0] if rules else None)
