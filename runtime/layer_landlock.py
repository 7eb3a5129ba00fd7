"""Layer: Landlock, the kernel's per-process rules for files, signals and abstract sockets.

The rules are made once, by `landlockpy`, outside; each child restricts itself, so that children can't reach each other
either. Runs on both sides of the wall; `landlockpy` only outside, because all that the zygote imports is copied into
each child.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from leafwise.runtime.inside_libc import landlock_allow_path, landlock_restrict_self

if TYPE_CHECKING:
    from pathlib import Path

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


def make_ruleset(library: Iterable[tuple[str, bool]]) -> tuple[int, int]:
    """The rules of one worker but for its scratch directory, made outside: they hold wherever a directory is seen.

    Args:
        library: from `readable_inside` or `readable_alone`.

    Returns:
        A descriptor, the caller's, and the access that the scratch directory is to have.

    Raises:
        landlockpy.LandlockError: this kernel has no Landlock.
    """
    import landlockpy

    fs = landlockpy.AccessFS
    ruleset = landlockpy.Ruleset(scoped=landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL)
    allowed = [(path, fs.READ_DIR | (fs.READ_FILE if files else fs.NONE)) for path, files in library]
    allowed += [(path, fs.READ_FILE) for path in _READ_DEVICES]
    allowed.append(("/dev/null", fs.READ_FILE | fs.WRITE_FILE))
    for path, access in allowed:
        if os.path.isdir(path):
            ruleset.allow_path(path, access)
        elif os.path.exists(path):
            ruleset.allow_path(path, access & ~fs.READ_DIR)
    special = fs.EXECUTE | fs.MAKE_CHAR | fs.MAKE_BLOCK | fs.MAKE_SOCK | fs.MAKE_FIFO
    descriptor = os.dup(ruleset.fileno())
    ruleset.close()
    return descriptor, int(ruleset.handled_fs & ~special)


class Landlock:
    """The rules of one worker, inside.

    Args:
        ruleset: from `make_ruleset`.
        scratch: the directory that may be changed, or None.
        scratch_access: how.

    Raises:
        OSError: the kernel refused.
    """

    name = "Landlock"

    def __init__(self, ruleset: int, scratch: str | None, scratch_access: int) -> None:
        self.ruleset = ruleset
        """The descriptor: a child needs it until it has entered."""
        self._scratch = scratch
        self._scratch_access = scratch_access
        self.renew()

    def enter(self, limits: dict[str, Any]) -> None:
        """Restrict this process.

        Raises:
            OSError: the kernel refused.
        """
        landlock_restrict_self(self.ruleset)
        os.close(self.ruleset)

    def renew(self) -> None:
        """Add the scratch directory: a rule holds a directory itself, not its name, so a new one needs a new rule."""
        if self._scratch is not None:
            folder = os.open(self._scratch, os.O_PATH | os.O_DIRECTORY)
            landlock_allow_path(self.ruleset, folder, self._scratch_access)
            os.close(folder)

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
