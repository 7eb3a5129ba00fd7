"""Layer: the one directory that a program may write to, bounded in bytes and in files. Runs inside the sandbox.

bubblewrap can't bound the number of files in a tmpfs, so the zygote mounts it itself.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Literal

from leafwise.runtime.inside_libc import mount_tmpfs, unmount

SCRATCH = "/scratch"
"""Where it is mounted inside a namespace."""
SIZE_MB = 32
MAX_FILES = 1024
_NOSUID, _NODEV, _NOEXEC, _NOATIME = 2, 4, 8, 1024


class Scratch:
    """The scratch directory.

    Args:
        kind: `mounted`: this process, the zygote of a namespace, mounts it as a bounded file system of its own;
            `folder`: a new folder among the temporary ones; `none`: there is no writable directory.
    """

    name = "scratch"

    def __init__(self, kind: Literal["mounted", "folder", "none"]) -> None:
        self._mounted = kind == "mounted"
        self.folder: str | None = None
        """Its path."""
        if kind == "folder":
            import tempfile  # not warm: one use in a worker's life

            self.folder = tempfile.mkdtemp(prefix="leafwise-sandbox-")
            self._look = _look_of(self.folder)
        elif self._mounted:
            self.folder = SCRATCH
            self._mount()
        os.environ["HOME"] = os.environ["TMPDIR"] = self.folder or "/"

    def enter(self, limits: dict[str, Any]) -> None:
        """Go there; without one, to the root directory."""
        os.chdir(self.folder or "/")

    def clean(self) -> tuple[bool, bool]:
        """Empty the directory after a program.

        Returns:
            Whether it is empty now (if not, this worker must not be used again), and whether it is a new one.
        """
        # An entry that comes or goes changes the times; and they, like the mode, could hold a message for the next one.
        if self.folder is None or _look_of(self.folder) == self._look:
            return True, False
        if not self._mounted:
            return False, False
        unmount(self.folder)
        self._mount()
        return True, True

    def remove(self) -> None:
        """Remove the directory, if it is not one that goes with its namespace."""
        if self.folder is not None and not self._mounted:
            import shutil  # not warm: one use in a worker's life

            shutil.rmtree(self.folder, ignore_errors=True)

    def _mount(self) -> None:
        options = f"size={SIZE_MB}m,nr_inodes={MAX_FILES},mode=0700"
        mount_tmpfs(SCRATCH, _NOSUID | _NODEV | _NOEXEC | _NOATIME, options)
        self._look = _look_of(SCRATCH)

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What is still possible in a process that has entered this layer; empty when it holds."""
        if not self._mounted:
            return []
        holes = []
        with contextlib.suppress(OSError):
            with open("large", "wb") as file:
                file.write(bytes((SIZE_MB + 1) << 20))
            holes.append(f"writes more than {SIZE_MB} MB")
        with contextlib.suppress(OSError):
            for number in range(MAX_FILES + 1):
                open(f"file{number}", "wb").close()
            holes.append(f"makes more than {MAX_FILES} files")
        return holes


def _look_of(folder: str) -> tuple[int, ...]:
    seen = os.stat(folder)
    return (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_ctime_ns)
