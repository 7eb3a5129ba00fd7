"""Layer: Landlock, the kernel's per-process rules for files, signals and abstract sockets.

The rules are made once, by `landlockpy`, in the zygote; each child restricts itself, so that children can't reach each
other either. Runs on both sides of the wall: outside it lists what may be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leafwise.runtime.inside_libc import restrict_self

_SKIPPED = ("site-packages", "dist-packages")
_LOADER_CACHE = "/etc/ld.so.cache"
_READ_DEVICES = ("/dev/zero", "/dev/random", "/dev/urandom")


def landlock_abi() -> int:
    """Version of Landlock in the running kernel, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        import landlockpy

        return int(landlockpy.abi_version())
    except (ImportError, OSError):
        return 0


def readable_inside(roots: Iterable[Path]) -> list[tuple[str, bool]]:
    """What a program may read where namespaces hide the rest: (path, also the files in it, or only the listing)."""
    return [*((str(root), True) for root in roots), (_LOADER_CACHE, True)]


def readable_alone(roots: Iterable[Path]) -> list[tuple[str, bool]]:
    """What a program may read when no namespace hides the rest: (path, also the files in it, or only the listing).

    A rule can't leave out a folder below it, so each entry beside an installed-packages folder is listed by itself.
    """
    paths = [(_LOADER_CACHE, True)]
    for root in roots:
        for entry in sorted(root.iterdir()):
            if entry.name.startswith("python") and entry.is_dir():
                paths.append((str(entry), False))  # imports list the folder
                paths += [(str(inner), True) for inner in sorted(entry.iterdir()) if inner.name not in _SKIPPED]
            elif ".so" in entry.name or entry.name.endswith(("-linux-gnu", "-linux-gnueabihf")):
                paths.append((str(entry), True))
    return paths


class Landlock:
    """The rules of one worker.

    Args:
        library: from `readable_inside` or `readable_alone`.
        scratch: the directory that may be changed, or None.

    Raises:
        landlockpy.LandlockError: this kernel has no Landlock.
    """

    name = "Landlock"

    def __init__(self, library: list[tuple[str, bool]], scratch: str | None) -> None:
        self._library = library
        self._scratch = scratch
        self._ruleset = self._rules()

    @property
    def descriptor(self) -> int:
        """The ruleset's descriptor: a child needs it until it has entered."""
        return int(self._ruleset.fileno())

    def enter(self, limits: dict[str, Any]) -> None:
        """Restrict this process.

        Raises:
            OSError: the kernel refused.
        """
        restrict_self(self.descriptor)
        os.close(self.descriptor)

    def renew(self) -> None:
        """Make the rules anew: one holds a directory itself, not its name, so a new scratch needs a new rule."""
        self._ruleset.close()
        self._ruleset = self._rules()

    def _rules(self) -> Any:
        import landlockpy

        fs = landlockpy.AccessFS
        ruleset = landlockpy.Ruleset(scoped=landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL)
        allowed = [(path, fs.READ_DIR | (fs.READ_FILE if files else fs.NONE)) for path, files in self._library]
        allowed += [(path, fs.READ_FILE) for path in _READ_DEVICES]
        allowed.append(("/dev/null", fs.READ_FILE | fs.WRITE_FILE))
        if self._scratch is not None:
            special = fs.EXECUTE | fs.MAKE_CHAR | fs.MAKE_BLOCK | fs.MAKE_SOCK | fs.MAKE_FIFO
            allowed.append((self._scratch, ruleset.handled_fs & ~special))
        for path, access in allowed:
            if Path(path).is_dir():
                ruleset.allow_path(path, access)
            elif Path(path).exists():
                ruleset.allow_path(path, access & ~fs.READ_DIR)
        return ruleset

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What is still possible in a process that has entered this layer; empty when it holds."""
        holes = []
        for hole, path, flags in (
            ("lists the root directory", "/", os.O_RDONLY | os.O_DIRECTORY),
            ("writes to a device", "/dev/zero", os.O_WRONLY),
            ("writes to the library", os.__file__, os.O_WRONLY),
        ):
            try:
                os.close(os.open(path, flags))
            except OSError:
                continue
            holes.append(hole)
        return holes
