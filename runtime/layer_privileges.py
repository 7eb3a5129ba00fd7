"""Layer: what a process gives up about itself, so that nobody can trace it and nothing can raise its privileges.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import struct
from typing import Any

from leafwise.runtime.inside_libc import mount_tmpfs, prctl, set_capabilities

_PDEATHSIG, _GET_DUMPABLE, _SET_DUMPABLE, _SET_NO_NEW_PRIVS, _GET_NO_NEW_PRIVS = 1, 3, 4, 38, 39
_CAPABILITIES = struct.pack("Ii", 0x20080522, 0), bytes(24)
"""capset's header of version 3 for the calling process, and empty sets; the ambient set goes with them."""


def undumpable() -> None:
    """Nobody of the same user can trace this process or read its memory; no core file."""
    prctl(_SET_DUMPABLE, 0, what="PR_SET_DUMPABLE")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent thread ends; children of it don't inherit that."""
    prctl(_PDEATHSIG, number, what="PR_SET_PDEATHSIG")


class Privileges:
    """No tracing, no core, no new privileges, no life beyond the parent's; and no capabilities.

    Args:
        capabilities: whether there are any to drop: the zygote of a namespace may mount, its children may not.
    """

    name = "privileges"

    def __init__(self, capabilities: bool) -> None:
        self._capabilities = capabilities

    def enter(self, limits: dict[str, Any]) -> None:
        """Give everything up.

        Raises:
            OSError: a step failed, or a mount still works.
        """
        die_with_parent()
        if self._capabilities:
            set_capabilities(*_CAPABILITIES)
            with contextlib.suppress(OSError):
                mount_tmpfs("/", 0, "")
                raise SystemError("a mount succeeded after the capabilities were dropped")
        undumpable()
        prctl(_SET_NO_NEW_PRIVS, 1, what="PR_SET_NO_NEW_PRIVS")

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What is still possible in a process that has entered this layer; empty when it holds."""
        holes = {
            "can be traced": prctl(_GET_DUMPABLE, what="PR_GET_DUMPABLE") != 0,
            "can gain privileges": prctl(_GET_NO_NEW_PRIVS, what="PR_GET_NO_NEW_PRIVS") != 1,
            "writes core files": resource.getrlimit(resource.RLIMIT_CORE) != (0, 0),
        }
        return [hole for hole, open_ in holes.items() if open_]
