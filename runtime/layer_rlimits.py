"""Layer: the kernel's per-process limits. Runs inside the sandbox, standard library only."""

from __future__ import annotations

import math
import os
import resource
from typing import Any

MAX_DESCRIPTORS = 64
MAX_STACK = 64 << 20
"""Bytes."""


class ResourceLimits:
    """Memory, CPU, files, descriptors, threads.

    Args:
        cpu: whether CPU time is bounded; a process that outlives one program is watched from outside instead.
        task_slack: added to the limit of threads: tasks of the same user outside of the sandbox.
    """

    name = "resource limits"

    def __init__(self, cpu: bool, task_slack: int) -> None:
        self._cpu = cpu
        self._task_slack = task_slack
        self._bounds: tuple[dict[str, Any], list[tuple[int, tuple[int, int]]]] = ({}, [])

    def enter(self, limits: dict[str, Any]) -> None:
        """Set every limit, for good.

        Args:
            limits: the fields of `Limits`.

        Raises:
            OSError: the kernel refused.
        """
        self.prepare(limits)
        for which, bound in self._bounds[1]:
            resource.setrlimit(which, bound)

    def prepare(self, limits: dict[str, Any]) -> None:
        """Work out the values, in the zygote, for all its children under these limits."""
        if self._bounds[0] == limits:
            return
        bounds = []
        for which, value in self._values(limits).items():
            hard = resource.getrlimit(which)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            bounds.append((which, (bound, bound)))
        self._bounds = limits, bounds

    def _values(self, limits: dict[str, Any]) -> dict[int, int]:
        values = {
            resource.RLIMIT_AS: limits["memory_mb"] << 20,
            resource.RLIMIT_FSIZE: limits["file_mb"] << 20,
            resource.RLIMIT_NOFILE: MAX_DESCRIPTORS,
            resource.RLIMIT_STACK: MAX_STACK,
            resource.RLIMIT_SIGPENDING: 64,  # counted for the user, who would have none left
            resource.RLIMIT_MSGQUEUE: 0,
            resource.RLIMIT_MEMLOCK: 0,
            resource.RLIMIT_NPROC: limits["processes"] + self._task_slack,
        }
        if self._cpu:
            # A backstop for when the zygote is gone. The kernel seems to count in ticks here, which on a busy machine
            # run ahead of the clock that the zygote reads: with less room it kills first, and gives no reason.
            values[resource.RLIMIT_CPU] = math.ceil(1.5 * limits["cpu_seconds"]) + 1
        return values

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What is still possible in a process that has entered this layer; empty when it holds."""
        holes = []
        import mmap  # not warm: one use in a worker's life

        if _works(lambda: mmap.mmap(-1, (limits["memory_mb"] + 1) << 20)):
            holes.append("maps more memory than its limit")
        if _works(lambda: [os.dup(0) for _ in range(MAX_DESCRIPTORS)]):
            holes.append(f"opens more than {MAX_DESCRIPTORS} files")
        if _works(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS + 1,) * 2)) and os.geteuid():
            holes.append("raises its limits")
        return holes


def _works(action: Any) -> bool:
    try:
        action()
    except (OSError, ValueError, MemoryError):
        return False
    return True
