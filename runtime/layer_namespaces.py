"""Layer: bubblewrap's namespaces, as they look from inside. `layer_bubblewrap` makes them, outside.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from leafwise.runtime.inside_libc import remount_read_only

HOSTNAME = "sandbox"
_HIDDEN = ("/proc/self", "/sys/kernel", "/etc/passwd", "/tmp", "/dev/shm", "/dev/tty")


DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
"""All that there are inside."""


def seal_devices() -> None:
    """Keep the modes and times of the devices, which are the machine's own, from being changed.

    bubblewrap's --remount-ro would make them no devices any more.

    Raises:
        OSError: the kernel refused.
    """
    for path in DEVICES:
        remount_read_only(path)


class Namespaces:
    """Nothing to enter: the worker was started in them."""

    name = "namespaces"

    def enter(self, limits: dict[str, Any]) -> None:
        """Nothing: a process is in them from its start."""

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What can be seen or done in here and should not; empty when it holds."""
        holes = [f"sees {path}" for path in _HIDDEN if os.path.exists(path)]
        if os.getppid() != 1:
            holes.append("shares the process ids of the host")
        if socket.gethostname() != HOSTNAME:
            holes.append("shares the host name")
        if [name for _, name in socket.if_nameindex() if name != "lo"]:
            holes.append("has a network")
        if not os.statvfs("/").f_flag & os.ST_RDONLY:
            holes.append("has a writable root directory")
        holes += [f"can change {path}" for path in DEVICES if not os.statvfs(path).f_flag & os.ST_RDONLY]
        return holes
