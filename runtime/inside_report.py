"""What the zygote reports of a program, as a fixed record: making JSON of it would touch pages that children share.

Runs on both sides of the wall, standard library only.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_RECORD = struct.Struct("=10siid?")
_RUNS = -(1 << 31)
"""Stands for a process that has not ended."""


class Report(NamedTuple):
    """How a program and its tester ended."""

    reason: str
    """Why it was stopped: `cpu`, `wall`, `cancelled`; `ended` if the tester died; empty if the tester was done."""
    solver: int | None
    """Exit status of the program's process, negative for a signal; None while it runs."""
    tester: int | None
    """The same of the tester's."""
    cpu: float
    """Seconds of CPU time of the program's process."""
    clean: bool
    """Whether the worker can run another program."""
    broken: str = ""
    """What went wrong when the walls were put up; then nothing was run."""

    def pack(self) -> bytes:
        """The record."""
        statuses = (_RUNS if status is None else status for status in (self.solver, self.tester))
        return _RECORD.pack(self.reason.encode(), *statuses, self.cpu, self.clean) + self.broken.encode()

    @classmethod
    def unpack(cls, data: bytes) -> Report:
        """The report of a record.

        Raises:
            struct.error: it is none.
        """
        reason, solver, tester, cpu, clean = _RECORD.unpack_from(data)
        solver, tester = (None if status == _RUNS else status for status in (solver, tester))
        broken = data[_RECORD.size :].decode(errors="replace")
        return cls(reason.rstrip(b"\0").decode(), solver, tester, cpu, clean, broken)
