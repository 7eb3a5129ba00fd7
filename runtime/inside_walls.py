"""All layers of one worker, in the order in which a child puts them around itself before it runs anything untrusted.

Runs inside the sandbox, standard library only. Every step raises when it fails, and the child then reports that instead
of running the program.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from leafwise.runtime.layer_landlock import Landlock
from leafwise.runtime.layer_namespaces import Namespaces, seal_devices
from leafwise.runtime.layer_privileges import Privileges
from leafwise.runtime.layer_rlimits import ResourceLimits
from leafwise.runtime.layer_scratch import Scratch
from leafwise.runtime.layer_seccomp import Seccomp


class Layer(Protocol):
    """One wall. The limits are the fields of `Limits`."""

    name: str
    """For people."""

    def enter(self, limits: dict[str, Any]) -> None:
        """Put it up around this process, for good; raises when that fails."""
        ...

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What a process that has entered can still do and should not; may spoil the process."""
        ...


class Walls:
    """The layers of a worker. Made once in the zygote; `enter` is called in each child.

    Args:
        scratch: the kind of writable directory, see `Scratch`.
        namespaces: whether bubblewrap's namespaces are around this process, and it may mount in them.
        ruleset: descriptor of Landlock's rules; None leaves Landlock out.
        scratch_access: what Landlock allows in the scratch directory.
        seccomp: stored filter, in hexadecimal digits; empty for none.
        task_slack: added to the limit of threads: tasks of the same user outside of the sandbox.
    """

    def __init__(
        self,
        *,
        scratch: Literal["mounted", "folder", "none"],
        namespaces: bool,
        ruleset: int | None,
        scratch_access: int,
        seccomp: str,
        task_slack: int,
    ) -> None:
        if namespaces:
            seal_devices()
        self._scratch = Scratch(scratch)
        self._privileges = Privileges(namespaces)
        self._landlock = Landlock(ruleset, self._scratch.folder, scratch_access) if ruleset is not None else None
        self._first: list[Layer] = [*([Namespaces()] if namespaces else []), self._scratch, self._privileges]
        self._last: list[Layer] = [layer for layer in (self._landlock,) if layer is not None]
        if seccomp:
            self._last.append(Seccomp(bytes.fromhex(seccomp)))
        self._bounded = ResourceLimits(cpu=True, task_slack=task_slack)
        self._kept = ResourceLimits(cpu=False, task_slack=task_slack)

    @property
    def layers(self) -> list[Layer]:
        """Every layer that is on, in order."""
        return [*self._first, self._bounded, *self._last]

    def enter(self, limits: dict[str, Any], *, kept: bool = False) -> None:
        """Put the walls up around the calling process, which must have one thread.

        Args:
            limits: the program's.
            kept: the process will serve several programs, so it has no CPU limit of its own: the zygote watches it.

        Raises:
            OSError: a wall could not be put up.
        """
        for layer in self._first:
            layer.enter(limits)
        (self._kept if kept else self._bounded).enter(limits)
        for layer in self._last:
            layer.enter(limits)

    def prepare(self, limits: dict[str, Any]) -> None:
        """Do in the zygote what need not be done in each child."""
        self._bounded.prepare(limits)

    def test(self, number: int, limits: dict[str, Any]) -> list[str]:
        """Enter one layer alone (after what all need: privileges are given up first) and try it; spoils the process."""
        layer = self.layers[number]
        order: dict[Layer, None] = dict.fromkeys((self._scratch, self._privileges, layer))
        for needed in order:
            needed.enter(limits)
        return layer.self_test(limits)

    @property
    def folder(self) -> str | None:
        """The writable directory, where there is one."""
        return self._scratch.folder

    def descriptors(self) -> list[int]:
        """Descriptors that a child needs until it has entered."""
        return [] if self._landlock is None else [self._landlock.ruleset]

    def clean(self) -> tuple[bool, bool]:
        """Empty the scratch directory after a program.

        Returns:
            Whether it is empty now (if not, this worker must not be used again), and whether it is a new one.
        """
        empty, new = self._scratch.clean()
        if new and self._landlock is not None:
            self._landlock.renew()
        return empty, new

    def remove(self) -> None:
        """Remove what this worker wrote outside of namespaces: its supervisor may have been killed."""
        self._scratch.remove()
