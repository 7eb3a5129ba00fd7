"""The first code inside the sandbox, given to Python with -c; never imported.

Takes the zygote's modules from the control socket (standard input), so that nothing has to be read from a directory
that is masked in there.
"""

import importlib.abc
import importlib.machinery
import json
import os
import socket
import sys
from types import ModuleType
from typing import Any


class _Shipped(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.sources:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=self.is_package(name))

    def is_package(self, fullname: str) -> bool:
        return any(other.startswith(fullname + ".") for other in self.sources)

    def get_source(self, fullname: str) -> str:
        return self.sources[fullname]


control = socket.socket(fileno=os.dup(0))
os.dup2(os.open("/dev/null", os.O_RDWR), 0)
shipped, *rules = socket.recv_fds(control, 1 << 16, 2)[1]
setup = json.loads(os.pread(shipped, os.fstat(shipped).st_size, 0))
os.close(shipped)
sys.meta_path.insert(0, _Shipped(setup["sources"]))
from leafwise.runtime.inside_zygote import serve  # noqa: E402

serve(control, setup["config"], rules[0] if rules else None)
